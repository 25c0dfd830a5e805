package service

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"shopkeeper.dev/email/internal/settings"
	"shopkeeper.dev/email/internal/testsupport"
)

// through puts a proxy before the server that a URL names.
func through(t *testing.T, address string) (string, *testsupport.Proxy) {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := testsupport.NewProxy(t, parsed.Host)
	parsed.Host = proxy.Address
	return parsed.String(), proxy
}

// restart starts the service anew with other settings.
func (s *shop) restart(more settings.Env) {
	s.t.Helper()
	s.running.Stop()
	s.running = s.startAnother(more)
}

func TestAMailThatTheServerHasIsNotSentAgainBecauseTheDatabaseWasAway(t *testing.T) {
	s := start(t, nil)
	sink := testsupport.NewSink(t, testsupport.Plain)
	database, proxy := through(t, s.DatabaseURL)
	more := sinkEnv(sink)
	more["DATABASE_URL"] = database
	s.restart(more)
	sink.Behave(func(command string) string {
		if command == "." {
			proxy.Cut()
		}
		return ""
	})
	user := s.register("zoe@home.example")
	s.untilMetric("shop_email_unmarked 1")
	answer := s.api("GET", "/mails")
	if answer.status != 503 || !strings.Contains(answer.text, `"unavailable"`) || answer.header.Get("Retry-After") == "" {
		t.Error(answer)
	}
	if answer := s.admin(s.running, "/readyz"); answer.status != 200 {
		t.Error("an outage is answered request by request", answer)
	}
	sink.Behave(nil)
	s.register("max@home.example")
	proxy.Mend()
	s.untilMails("", 2, "sent")
	if mails := s.mails("user_id=" + user.String()); len(mails) != 1 || len(sink.Mails()) != 2 {
		t.Error(mails, sink.Mails())
	}
	s.untilMetric("shop_email_unmarked 0")
	s.untilPublished(emailSent, 2)
}

func TestWithoutTheBrokerRequestsGoOnAndEventsFollow(t *testing.T) {
	s := start(t, nil)
	broker, proxy := through(t, s.BrokerURL)
	s.restart(settings.Env{"NATS_URL": broker})
	user := s.register("zoe@home.example")
	mail := s.untilMails("user_id="+user.String(), 1, "kept")[0]
	s.untilPublished(emailSent, 1)
	for round := 2; round <= 4; round++ {
		proxy.Cut()
		if answer := s.api("POST", "/mails/"+mail["id"].(string)+"/retry"); answer.status != 200 {
			t.Error(answer)
		}
		s.untilMails("user_id="+user.String(), round-1, "kept")
		s.order(user) // What goes into a connection that just ends comes again after 30 s.
		proxy.Mend()
		s.untilMails("user_id="+user.String(), round, "kept")
		s.untilPublished(emailSent, 2*round-1)
	}
}

func TestWithoutTheBrokerTheTablesAreMeasuredAndCleaned(t *testing.T) {
	s := start(t, nil)
	broker, proxy := through(t, s.BrokerURL)
	s.restart(settings.Env{"NATS_URL": broker})
	s.untilMetric("outbox_unpublished 0")
	proxy.Cut()
	// Between two ticks, and in the one after.
	for round := 1; round <= 2; round++ {
		s.Execute(`insert into outbox (id, subject, envelope) values (gen_random_uuid(), 'shop.email.email.sent.v1', '{}')`)
		s.Execute(`insert into outbox (id, subject, envelope, published_at)
values (gen_random_uuid(), 'shop.email.email.sent.v1', '{}', now() - interval '8 days')`)
		s.untilMetric(fmt.Sprintf("outbox_unpublished %d", round))
		testsupport.Eventually(t, "what is old is gone", func() bool {
			return testsupport.Query[int](s.Backends, "select count(*) from outbox where published_at is not null") == 0
		})
	}
}

// The broker is away, and is back without its newest events; then others publish.
func TestABrokerThatComesBackWithoutItsEventsGetsThemAgain(t *testing.T) {
	s := start(t, nil)
	broker, proxy := through(t, s.BrokerURL)
	s.restart(settings.Env{"NATS_URL": broker})
	user := s.register("zoe@home.example")
	for round := 1; round <= 4; round++ {
		s.untilPublished(emailSent, round)
		s.untilAllNoted()
		proxy.Cut()
		s.LoseStream()
		s.order(user)
		proxy.Mend()
	}
	s.untilPublished(emailSent, 5)
}
