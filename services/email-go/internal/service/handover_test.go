//go:build handover

package service

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/database"
	"shopkeeper.dev/email/internal/settings"
	"shopkeeper.dev/email/internal/testsupport"
)

// other is a process of services/email.
type other struct {
	t       *testing.T
	command *exec.Cmd
	admin   string
}

func otherCommand(t *testing.T, env settings.Env, argument string) *exec.Cmd {
	t.Helper()
	binary := os.Getenv("TEST_EMAIL_BINARY")
	if binary == "" {
		t.Fatal("TEST_EMAIL_BINARY does not name the program of services/email; dev/email-go.sh builds it")
	}
	command := exec.Command(binary, argument)
	command.Stderr = os.Stderr
	for name, value := range env {
		command.Env = append(command.Env, name+"="+value)
	}
	return command
}

// startOther starts services/email and waits until it is ready.
func startOther(t *testing.T, env settings.Env) *other {
	t.Helper()
	o := &other{t: t, command: otherCommand(t, env, "serve")}
	stdout, err := o.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.command.Process.Kill() })
	listening := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var line struct{ Message, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
				listening <- line.Admin
			}
		}
	}()
	select {
	case o.admin = <-listening:
	case <-time.After(20 * time.Second):
		t.Fatal("services/email does not say where it listens")
	}
	testsupport.Eventually(t, "services/email is ready", func() bool {
		response, err := http.Get("http://" + o.admin + "/readyz")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	})
	return o
}

func (o *other) stop() {
	o.t.Helper()
	_ = o.command.Process.Signal(syscall.SIGTERM)
	if err := o.command.Wait(); err != nil {
		o.t.Errorf("services/email ended with %v", err)
	}
}

// The two programs follow each other on one database, side by side for a while, and orders go on: none of the mails is lost or
// doubled.
func TestBothProgramsHandOverToEachOther(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	s := &shop{Backends: testsupport.NewBackends(t), t: t, issuer: testsupport.NewIssuer(t)}
	env := environment(s.Backends, s.issuer, sinkEnv(sink))
	if err := otherCommand(t, env, "migrate").Run(); err != nil {
		t.Fatal(err)
	}

	rust := startOther(t, env)
	known, unknown := s.register("zoe@home.example"), newID()
	late := s.order(unknown)
	all := []uuid.UUID{late}
	orders := func() {
		for range 20 {
			all = append(all, s.order(known))
		}
	}
	orders()
	s.parkedBy(rust, late)

	if _, err := database.Migrate(t.Context(), s.DatabaseURL, Name); err != nil {
		t.Fatal(err)
	}
	s.running = s.startAnother(sinkEnv(sink))
	orders()
	rust.stop()
	orders()
	s.Publish(userRegistered, map[string]any{"user_id": unknown, "email": "max@home.example"})
	s.untilMails("order_id="+late.String(), 1, "sent")

	if err := otherCommand(t, env, "migrate").Run(); err != nil {
		t.Fatal(err)
	}
	rust = startOther(t, env)
	orders()
	s.running.Leave()
	s.running.Stop()
	orders()
	sent := func() int {
		return testsupport.Query[int](s.Backends, "select count(*) from mails where status = 'sent' and kind = 'order_confirmed'")
	}
	testsupport.Eventually(t, "all are sent", func() bool { return sent() == len(all) })
	rust.stop()

	s.eachIsSentOnce(sink, all)
}

// eachIsSentOnce: one mail of each order, and two welcomes, in the database, at the mail server and at the broker.
func (s *shop) eachIsSentOnce(sink *testsupport.Sink, all []uuid.UUID) {
	s.t.Helper()
	for _, order := range all {
		if count := testsupport.Query[int](s.Backends, "select count(*) from mails where order_id = $1", order); count != 1 {
			s.t.Errorf("%d mails for the order %s", count, order)
		}
	}
	times := map[string]int{}
	for _, mail := range sink.Mails() {
		_, id, _ := strings.Cut(mail, "Message-ID: <")
		id, _, _ = strings.Cut(id, ">")
		times[id]++
	}
	for id, count := range times {
		if count != 1 {
			s.t.Errorf("the mail %s was sent %d times", id, count)
		}
	}
	if mails := len(all) + 2; len(times) != mails {
		s.t.Errorf("%d mails were sent, expected %d", len(times), mails)
	}
	if published := s.Published(emailSent); len(published) != len(all)+2 {
		s.t.Errorf("%d events say that a mail was sent", len(published))
	}
}

func (s *shop) parkedBy(rust *other, order uuid.UUID) {
	s.t.Helper()
	testsupport.Eventually(s.t, "an order waits for its buyer", func() bool {
		count := "select count(*) from failed_events where dead_at is null and waits_for is not null and payload like $1"
		return testsupport.Query[int](s.Backends, count, "%"+order.String()+"%") == 1
	})
	if answer := s.do("GET", "http://"+rust.admin+"/parked-events", nil); !strings.Contains(answer.text, "is not known here yet") {
		s.t.Error(answer)
	}
}
