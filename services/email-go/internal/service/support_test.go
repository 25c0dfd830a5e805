package service

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/settings"
	"shopkeeper.dev/email/internal/telemetry"
	"shopkeeper.dev/email/internal/testsupport"
)

const (
	userRegistered = "shop.users.user.registered.v1"
	orderConfirmed = "shop.orders.order.confirmed.v1"
	orderCancelled = "shop.orders.order.cancelled.v1"
	orderRefunded  = "shop.orders.order.refunded.v1"
	emailSent      = "shop.email.email.sent.v1"
	emailBounced   = "shop.email.email.bounced.v1"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(telemetry.NewHandler(io.Discard, Name, slog.LevelDebug)))
	os.Exit(m.Run())
}

// shop is a service with what it needs.
type shop struct {
	*testsupport.Backends
	t       *testing.T
	issuer  *testsupport.Issuer
	running *Running
}

// environment is that of a service beside these back ends.
func environment(b *testsupport.Backends, issuer *testsupport.Issuer, more settings.Env) settings.Env {
	env := settings.Env{
		"DATABASE_URL": b.DatabaseURL, "NATS_URL": b.BrokerURL, "USERS_URL": issuer.URL,
		"HTTP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "MAIL_FROM": "Demo <shop@shop.example>",
	}
	for name, value := range more {
		env[name] = value
	}
	return env
}

// sinkEnv names a mail server.
func sinkEnv(sink *testsupport.Sink) settings.Env {
	return settings.Env{"SMTP_HOST": "localhost", "SMTP_PORT": fmt.Sprint(sink.Port), "SMTP_TLS": "None"}
}

// start migrates and starts a service, which stops when the test ends.
func start(t *testing.T, more settings.Env) *shop {
	t.Helper()
	s := &shop{Backends: testsupport.NewBackends(t), t: t, issuer: testsupport.NewIssuer(t)}
	if _, err := database.Migrate(t.Context(), s.DatabaseURL, Name); err != nil {
		t.Fatal(err)
	}
	s.running = s.startAnother(more)
	return s
}

// startAnother starts one more replica and waits until it is ready.
func (s *shop) startAnother(more settings.Env) *Running {
	s.t.Helper()
	read, err := settings.Read(environment(s.Backends, s.issuer, more))
	if err != nil {
		s.t.Fatal(err)
	}
	running, err := Start(read)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(running.Stop)
	testsupport.Eventually(s.t, "the service is ready", func() bool { return s.admin(running, "/readyz").status == 200 })
	return running
}

// answer is that of a request.
type answer struct {
	status int
	header http.Header
	text   string
	// It says that its connection ends.
	close bool
}

func (a answer) into(t *testing.T, value any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), value); err != nil {
		t.Fatalf("%s: %v", a.text, err)
	}
}

func (s *shop) do(method, url string, header http.Header) answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text), response.Close}
}

func (s *shop) admin(running *Running, path string) answer {
	s.t.Helper()
	return s.do("GET", "http://"+running.Admin().String()+path, http.Header{})
}

// api is a request of an administrator.
func (s *shop) api(method, path string, more ...string) answer {
	s.t.Helper()
	header := http.Header{"Authorization": {"Bearer " + s.issuer.Token(s.t, jwt.MapClaims{})}}
	for i := 0; i+1 < len(more); i += 2 {
		header.Set(more[i], more[i+1])
	}
	return s.do(method, "http://"+s.running.API().String()+path, header)
}

type mailJSON map[string]any

func (s *shop) mails(query string) []mailJSON {
	s.t.Helper()
	var list struct{ Items []mailJSON }
	s.api("GET", "/mails?limit=100&"+query).into(s.t, &list)
	return list.Items
}

// untilMails waits for so many mails that are this far.
func (s *shop) untilMails(query string, count int, status string) []mailJSON {
	s.t.Helper()
	var found []mailJSON
	testsupport.Eventually(s.t, fmt.Sprintf("%d mails %s of %q", count, status, query), func() bool {
		found = s.mails(strings.TrimPrefix(query+"&status="+status, "&"))
		return len(found) == count
	})
	return found
}

func (s *shop) metric(running *Running, line string) bool {
	s.t.Helper()
	return strings.Contains(s.admin(running, "/metrics").text, "\n"+line+"\n")
}

func (s *shop) untilMetric(line string) {
	s.t.Helper()
	testsupport.Eventually(s.t, line, func() bool { return s.metric(s.running, line) })
}

func (s *shop) untilPublished(subject string, count int) (all []map[string]any) {
	s.t.Helper()
	testsupport.Eventually(s.t, fmt.Sprintf("%d events %s", count, subject), func() bool {
		all = s.Published(subject)
		return len(all) >= count
	})
	if len(all) != count {
		s.t.Fatalf("%d events %s: %v", len(all), subject, all)
	}
	return all
}

func euro(amount int) map[string]any { return map[string]any{"amount": amount, "currency": "EUR"} }

func confirmed(order, buyer uuid.UUID) any {
	return map[string]any{
		"order_id": order, "number": "A72489D4", "buyer_id": buyer, "total": euro(3998), "items": []any{map[string]any{
			"sku": "pot", "title": "Tea <pot>", "quantity": 2, "unit_price": euro(1999),
		}},
	}
}

func cancelled(order, buyer uuid.UUID) any {
	return map[string]any{
		"order_id": order, "number": "A72489D4", "buyer_id": buyer, "total": euro(3998), "reason": "payment_declined",
	}
}

func refunded(order, buyer uuid.UUID, amount int) any {
	return map[string]any{
		"order_id": order, "number": "A72489D4", "buyer_id": buyer, "amount": euro(amount), "refunded": euro(amount),
		"total": euro(3998),
	}
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func (s *shop) register(address string) uuid.UUID {
	user := newID()
	s.Publish(userRegistered, map[string]any{"user_id": user, "email": address, "name": "WIN http://win.example"})
	return user
}

// order publishes order.confirmed.
func (s *shop) order(buyer uuid.UUID) uuid.UUID {
	order := newID()
	s.Publish(orderConfirmed, confirmed(order, buyer))
	return order
}

// elapsed is how long something took.
func elapsed(work func()) time.Duration {
	started := time.Now()
	work()
	return time.Since(started)
}
