package service

import (
	"strings"
	"testing"
	"time"

	"shopkeeper.dev/email/internal/testsupport"
)

func TestMailsAreSentOnceWithTheirOwnMessageID(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	s := start(t, sinkEnv(sink))
	user := s.register("zoe@home.example")
	order := s.order(user)
	s.untilMails("user_id="+user.String(), 2, "sent")
	mail := s.mails("order_id=" + order.String())[0]
	if len(sink.Mails()) != 2 || mail["sent_at"] == nil {
		t.Fatal(sink.Mails(), mail)
	}
	found := 0
	for _, sent := range sink.Mails() {
		if strings.Contains(sent, "Message-ID: <"+mail["id"].(string)+"@shop.example>") {
			found++
			for _, line := range []string{`From: "Demo" <shop@shop.example>`, "To: zoe@home.example",
				"Subject: Your order A72489D4 is confirmed", "2 x Tea <pot>: 39.98 EUR", "Auto-Submitted: auto-generated"} {
				if !strings.Contains(sent, line+"\r\n") {
					t.Errorf("no line %q in %s", line, sent)
				}
			}
		}
	}
	if found != 1 {
		t.Error(sink.Mails())
	}
	if data := s.untilPublished(emailSent, 2)[0]["data"].(map[string]any); data["status"] != "sent" {
		t.Error(data)
	}
	if answer := s.api("GET", "/delivery"); answer.text != `{"state":"working","waiting":0}`+"\n" {
		t.Error(answer)
	}
}

func TestARecipientThatIsRefusedFailsAndMayBeSentAgain(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	sink.Refuse("RCPT", "550 5.1.1 <zoe@home.example>: User unknown")
	s := start(t, sinkEnv(sink))
	user := s.register("zoe@home.example")
	mail := s.untilMails("user_id="+user.String(), 1, "failed")[0]
	path := "/mails/" + mail["id"].(string)
	if answer := s.api("GET", path); !strings.Contains(answer.text, "User unknown") {
		t.Error(answer)
	}
	bounced := s.untilPublished(emailBounced, 1)[0]
	if data := bounced["data"].(map[string]any); data["reason"] != "refused" || data["smtp_code"] != 550.0 {
		t.Error(bounced)
	}
	sink.Behave(nil)
	if answer := s.api("POST", path+"/retry"); answer.status != 200 || !strings.Contains(answer.text, `"status":"queued"`) {
		t.Error(answer)
	}
	s.untilMails("user_id="+user.String(), 1, "sent")
	if answer := s.api("POST", path+"/retry"); answer.status != 409 || !strings.Contains(answer.text, `"not_failed"`) {
		t.Error(answer)
	}
	if sent := s.untilPublished(emailSent, 1)[0]; sent["sequence"] != 2.0 {
		t.Error(sent)
	}
}

func TestWhatAServerSaysMayBeNoText(t *testing.T) {
	for _, said := range []string{"\xfc", "\x00"} {
		sink := testsupport.NewSink(t, testsupport.Plain)
		sink.Refuse("RCPT", "550 5.1.1 Unknown "+said+" user")
		s := start(t, sinkEnv(sink))
		user := s.register("zoe@home.example")
		mail := s.untilMails("user_id="+user.String(), 1, "failed")[0]
		if answer := s.api("GET", "/mails/"+mail["id"].(string)); !strings.Contains(answer.text, "Unknown \uFFFD user") {
			t.Error(answer)
		}
	}
}

func TestAMailThatIsPutOffIsTriedAgain(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	sink.Refuse("RCPT", "450 4.2.0 greylisted")
	s := start(t, sinkEnv(sink))
	user := s.register("zoe@home.example")
	s.untilMetric(`shop_email_attempts_total{kind="welcome",status="deferred"} 1`)
	if pause := testsupport.Query[float64](s.Backends, "select extract(epoch from due_at - now())::float8 from mails"); pause > 5 {
		t.Error(pause)
	}
	sink.Behave(nil)
	s.untilMails("user_id="+user.String(), 1, "sent")
	s.Execute("update mails set status = 'queued', sent_at = null, due_at = now(), created_at = now() - interval '5 days'")
	sink.Refuse("RCPT", "450 4.2.0 greylisted")
	s.untilMails("user_id="+user.String(), 1, "failed")
	if data := s.untilPublished(emailBounced, 1)[0]["data"].(map[string]any); data["reason"] != "expired" {
		t.Error(data)
	}
}

func TestWhileTheServerTakesNoMailAllWaitAndNoneFails(t *testing.T) {
	for reason, refusal := range map[string][2]string{
		"sender_refused": {"MAIL", "550 5.7.60 not you"},
		"unreachable":    {"EHLO", testsupport.HangUp},
	} {
		sink := testsupport.NewSink(t, testsupport.Plain)
		sink.Refuse(refusal[0], refusal[1])
		s := start(t, sinkEnv(sink))
		user := s.register("zoe@home.example")
		s.order(user)
		s.untilMetric(`shop_email_stopped{reason="` + reason + `"} 1`)
		var delivery map[string]any
		testsupport.Eventually(t, "both wait", func() bool {
			s.api("GET", "/delivery").into(t, &delivery)
			return delivery["waiting"] == 2.0
		})
		if delivery["state"] != "stopped" || delivery["reason"] != reason || delivery["since"] == nil || delivery["oldest"] == nil {
			t.Error(delivery)
		}
		sink.Behave(nil)
		s.untilMails("user_id="+user.String(), 2, "sent")
		s.untilMetric(`shop_email_stopped{reason="` + reason + `"} 0`)
	}
}

// One mail that the server refuses unclearly is told from a server that refuses the sender by the others.
func TestAnUnclearRefusalIsTheMailsOnceOthersPass(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	sink.Refuse("RCPT TO:<eve", "554 5.7.1 rejected")
	s := start(t, sinkEnv(sink))
	eve := s.register("eve@home.example")
	s.untilMetric(`shop_email_attempts_total{kind="welcome",status="sender_refused"} 1`)
	zoe := s.register("zoe@home.example")
	s.untilMails("user_id="+zoe.String(), 1, "sent")
	s.untilMails("user_id="+eve.String(), 1, "failed")
}

func TestAMailOfASenderThatDiedIsSentWhenItsLeaseEnds(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	s := start(t, nil)
	user := s.register("zoe@home.example")
	s.untilMails("user_id="+user.String(), 1, "kept")
	s.running.Stop()
	s.Execute("update mails set status = 'sending', attempts = 1, due_at = now() + interval '2 seconds', endings = 0")
	took := elapsed(func() {
		s.running = s.startAnother(sinkEnv(sink))
		s.untilMails("user_id="+user.String(), 1, "sent")
	})
	if took < time.Second {
		t.Error(took)
	}
}

// A server that looks into one mail for long holds up no other, and a stop waits for it.
func TestAStopWaitsForWhatIsOnItsWay(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	goOn := make(chan struct{})
	heard := make(chan struct{}, 1)
	sink.Behave(func(command string) string {
		if command == "RCPT TO:<slow@home.example>" {
			heard <- struct{}{}
			<-goOn
		}
		return ""
	})
	s := start(t, sinkEnv(sink))
	s.register("slow@home.example")
	<-heard
	stopped := make(chan struct{})
	go func() {
		s.running.Leave()
		s.running.Stop()
		close(stopped)
	}()
	testsupport.Eventually(t, "it is not ready any more", func() bool { return s.admin(s.running, "/readyz").status == 503 })
	select {
	case <-stopped:
		t.Fatal("it stopped with a mail under way")
	case <-time.After(3 * time.Second):
	}
	close(goOn)
	<-stopped
	if sent := testsupport.Query[int](s.Backends, "select count(*) from mails where status = 'sent'"); sent != 1 {
		t.Error(sent)
	}
	s.untilPublished(emailSent, 1)
}

func TestOldMailsAreRemoved(t *testing.T) {
	s := start(t, nil)
	old, recent, failed := s.register("a@home.example"), s.register("b@home.example"), s.register("c@home.example")
	s.untilMails("", 3, "kept")
	s.running.Stop()
	s.Execute("update mails set created_at = now() - interval '15 days' where user_id <> $1", recent)
	s.Execute("update mails set status = 'failed' where user_id = $1", failed)
	s.running = s.startAnother(nil)
	testsupport.Eventually(t, "the old one is gone", func() bool { return len(s.mails("")) == 2 })
	if mails := s.mails("user_id=" + old.String()); len(mails) != 0 {
		t.Error(mails)
	}
}
