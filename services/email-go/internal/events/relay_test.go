package events

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"shopkeeper.dev/email/internal/health"
	"shopkeeper.dev/email/internal/testsupport"
)

// What the login of the service `notes` may publish, and what it may not.
const allowed, forbidden = "shop.notes.note.written.v1", "shop.others.note.published.v1"

// notes is the relay of a service with rights of its own on the broker.
func notes(t *testing.T, backends *testsupport.Backends) *Relay {
	t.Helper()
	address, err := url.Parse(backends.BrokerURL)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(strings.Replace(address.User.Username(), "t", "n", 1), "t")
	db, broker := connect(t, backends.DatabaseURL, address.String(), 2)
	return &Relay{
		Outbox: NewOutbox("notes"), DB: db, Broker: broker, Metrics: NewMetrics(prometheus.NewRegistry()),
		Connected: (&health.Readiness{}).Condition("broker"),
	}
}

// add adds events to the outbox, behind all that are there.
func add(b *testsupport.Backends, subject string, count int) {
	b.Execute(`insert into outbox (id, subject, envelope)
select ('00000000-0000-7000-8000-' || lpad((n + (select count(*) from outbox))::text, 12, '0'))::uuid, $1, '{}'
from generate_series(1, $2::int) n`, subject, count)
}

func unpublishedOn(b *testsupport.Backends, subject string) int {
	return testsupport.Query[int](b, "select count(*) from outbox where published_at is null and subject = $1", subject)
}

func TestEventsThatTheBrokerRefusesHoldUpNoOthers(t *testing.T) {
	backends := testsupport.NewBackends(t)
	relay := notes(t, backends)
	add(backends, forbidden, relayBatch+50)
	add(backends, allowed, 1)
	stop, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(stop) }()
	testsupport.Eventually(t, "the other one is published", func() bool { return unpublishedOn(backends, allowed) == 0 })
	// They wait, so the next one has no acknowledgement to wait for.
	add(backends, allowed, 1)
	testsupport.Eventually(t, "the next one is published", func() bool { return unpublishedOn(backends, allowed) == 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if left := unpublishedOn(backends, forbidden); left != relayBatch+50 {
		t.Error(left)
	}
}

func TestEventsThatAreNotAcknowledgedAndNotRefusedAreAFailure(t *testing.T) {
	backends := testsupport.NewBackends(t)
	relay := notes(t, backends)
	// A login that may publish whatever there is.
	_, relay.Broker = connect(t, backends.DatabaseURL, backends.BrokerURL, 1)
	backends.Swallow("elsewhere.v1")
	add(backends, "elsewhere.v1", 1)
	stop, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := relay.Run(stop); !errors.Is(err, jetstream.ErrAsyncPublishTimeout) {
		t.Error(err)
	}
	if waiting := relay.aside; len(waiting) > 0 {
		t.Error(waiting)
	}
}

func TestTheSubjectOfARefusalIsReadFromItsWords(t *testing.T) {
	said := func(words string) error { return fmt.Errorf("%w: %s", nats.ErrPermissionViolation, words) }
	if subject, ok := refusedSubject(said(`Permissions Violation for Publish to "shop.notes.x.v1"`)); !ok || subject != "shop.notes.x.v1" {
		t.Error(subject, ok)
	}
	for _, other := range []error{
		said(`Permissions Violation for Subscription to "_INBOX.>"`), errors.New(`Publish to "shop.notes.x.v1"`),
	} {
		if subject, ok := refusedSubject(other); ok {
			t.Error(other, subject)
		}
	}
}
