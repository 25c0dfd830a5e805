// Package delivery takes queued mails to the mail server and writes down what became of them.
package delivery

import (
	"math/rand/v2"
	"time"
)

const (
	// A server that defers a mail for days is believed; then the mail counts as failed (RFC 5321 section 4.5.4.1: four to five
	// days).
	lifetime                          = 4 * 24 * time.Hour
	firstMailPause, longestMailPause  = 5 * time.Second, 15 * time.Minute
	firstServerPause, longServerPause = 500 * time.Millisecond, 30 * time.Second
)

// mailPause is the pause after a mail that has waited in the queue for that long was put off: as long again, within bounds, so that
// pauses double.
func mailPause(age time.Duration, chance float64) time.Duration {
	return spread(min(max(age, firstMailPause), longestMailPause), chance)
}

// serverPause is the pause after so many failures of the server in a row (1 and more). It holds for every mail at once.
func serverPause(failures int, chance float64) time.Duration {
	pause := firstServerPause
	for ; failures > 1 && pause < longServerPause; failures-- {
		pause *= 2
	}
	return spread(min(pause, longServerPause), chance)
}

// spread is between half of the pause and all of it: chance (0 to 1) keeps apart those who failed together.
func spread(pause time.Duration, chance float64) time.Duration {
	return time.Duration(float64(pause) * (0.5 + min(max(chance, 0), 1)/2))
}

func chance() float64 { return rand.Float64() }
