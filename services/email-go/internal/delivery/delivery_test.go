package delivery

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/smtp"
	"shopkeeper.dev/email/internal/store"
)

func TestAServerThatTakesNoMailIsKnownAlsoWhenTheMailCannotBePutBack(t *testing.T) {
	db, err := database.Open("postgres://nobody@127.0.0.1:1/none", "test", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for trouble, put := range map[Trouble]func(*Delivery, smtp.Attempt) error{
		Unreachable: func(d *Delivery, a smtp.Attempt) error {
			return d.putBack(t.Context(), &store.Claimed{}, a, Unreachable)
		},
		SenderRefused: func(d *Delivery, a smtp.Attempt) error { return d.refused(t.Context(), &store.Claimed{}, a) },
	} {
		registry := prometheus.NewRegistry()
		d := &Delivery{DB: db, Metrics: NewMetrics(registry), Server: NewServer(registry)}
		if err := put(d, smtp.Attempt{}); !database.IsUnavailable(err) {
			t.Error(trouble, err)
		}
		if stopped := d.Server.Stopped(); stopped == nil || stopped.Trouble != trouble {
			t.Error(trouble, stopped)
		}
	}
}
