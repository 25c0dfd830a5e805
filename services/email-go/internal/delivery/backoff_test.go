package delivery

import (
	"testing"
	"time"
)

func TestPausesGrowToALimitAndChanceShortensThemByHalfAtMost(t *testing.T) {
	for _, test := range []struct {
		got, expected time.Duration
	}{
		{mailPause(0, 1), 5 * time.Second},
		{mailPause(10*time.Second, 1), 10 * time.Second},
		{mailPause(25*time.Hour, 1), 15 * time.Minute},
		{mailPause(0, 0), 2500 * time.Millisecond},
		{mailPause(0, 7), 5 * time.Second},
		{serverPause(1, 1), 500 * time.Millisecond},
		{serverPause(4, 1), 4 * time.Second},
		{serverPause(1<<30, 1), 30 * time.Second},
		{serverPause(1, 0), 250 * time.Millisecond},
	} {
		if test.got != test.expected {
			t.Errorf("%v, expected %v", test.got, test.expected)
		}
	}
}
