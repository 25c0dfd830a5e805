package service

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/testsupport"
)

func TestWithoutAMailServerEveryMailIsKeptAndSaidSo(t *testing.T) {
	s := start(t, nil)
	user := s.register("zoe@home.example")
	bought, lost := s.order(user), newID()
	s.Publish(orderCancelled, cancelled(lost, user))
	for _, mail := range s.untilMails("user_id="+user.String(), 3, "kept") {
		if mail["to"] != "zoe@home.example" || mail["sent_at"] != nil {
			t.Error(mail)
		}
		text := s.api("GET", "/mails/"+mail["id"].(string)).text
		if strings.Contains(text, "WIN") {
			t.Errorf("what a stranger has chosen: %s", text)
		}
	}
	ofOrder := 0
	for _, envelope := range s.untilPublished(emailSent, 3) {
		data := envelope["data"].(map[string]any)
		if data["order_id"] != bought.String() {
			continue
		}
		ofOrder++
		if data["status"] != "kept" || data["kind"] != "order_confirmed" || data["user_id"] != user.String() ||
			envelope["specversion"] != "1.0" || envelope["source"] != "/shop/email" || envelope["type"] != emailSent ||
			envelope["subject"] != data["mail_id"] || envelope["sequence"] != 1.0 {
			t.Error(envelope)
		}
		if trace, _ := envelope["traceparent"].(string); !strings.HasPrefix(trace, "00-0af7651916cd43dd8448eb211c80319c-") {
			t.Errorf("another trace: %s", trace)
		}
	}
	if ofOrder != 1 {
		t.Error(ofOrder)
	}
	s.untilMetric(`shop_email_attempts_total{kind="order_confirmed",status="kept"} 1`)
	s.untilMetric("events_published_total 3")
	if answer := s.api("GET", "/delivery"); answer.text != `{"state":"keeping","waiting":0}`+"\n" {
		t.Error(answer)
	}
}

func TestWhatIsDeliveredTwiceMakesOneMail(t *testing.T) {
	s := start(t, nil)
	second := s.startAnother(nil)
	user := s.register("zoe@home.example")
	s.untilMails("user_id="+user.String(), 1, "kept")
	order, event := newID(), newID()
	for range 5 {
		s.PublishAs(event, orderConfirmed, confirmed(order, user))
		s.Publish(orderConfirmed, confirmed(order, user))
	}
	refund := newID()
	for range 2 {
		s.PublishAs(refund, orderRefunded, refunded(order, user, 500))
	}
	s.Publish(orderRefunded, refunded(order, user, 1499))
	s.untilMails("kind=order_refunded", 2, "kept")
	s.untilMails("kind=order_confirmed", 1, "kept")
	duplicates := func(running *Running) (count int) {
		text := s.admin(running, "/metrics").text
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, `events_processed_total{outcome="duplicate"`) {
				var n int
				_, _ = fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &n)
				count += n
			}
		}
		return count
	}
	testsupport.Eventually(t, "what came again is known", func() bool { return duplicates(s.running)+duplicates(second) == 5 })
	s.untilPublished(emailSent, 4)
	if mails := s.mails("order_id=" + order.String()); len(mails) != 3 {
		t.Error(mails)
	}
}

func TestAnOrderWaitsForItsBuyerAndHoldsUpNobody(t *testing.T) {
	s := start(t, nil)
	unknown := newID()
	order := s.order(unknown)
	for range 50 {
		s.order(newID())
	}
	known := s.register("max@home.example")
	s.order(known)
	s.untilMails("user_id="+known.String(), 2, "kept")
	var parked []map[string]any
	testsupport.Eventually(t, "all wait", func() bool {
		s.admin(s.running, "/parked-events").into(t, &parked)
		return len(parked) == 51
	})
	first := parked[len(parked)-1]
	if first["waits_for"] != "user:"+unknown.String() || first["subject"] != orderConfirmed || first["expires_at"] == nil ||
		!strings.Contains(first["cause"].(string), "is not known here yet") {
		t.Error(first)
	}
	s.Publish(userRegistered, map[string]any{"user_id": unknown, "email": "zoe@home.example"})
	s.untilMails("order_id="+order.String(), 1, "kept")
}

func TestABrokenEventBecomesADeadLetterAndTheNextGoesOn(t *testing.T) {
	s := start(t, nil)
	broken := map[uuid.UUID]string{
		s.Publish(userRegistered, map[string]any{"user_id": 7}):                              "is not as agreed",
		s.Publish(userRegistered, map[string]any{"user_id": newID()}):                        `missing field "email"`,
		s.Publish(userRegistered, map[string]any{"user_id": newID(), "email": "no address"}): "the address of user",
	}
	s.PublishRaw(userRegistered, map[string]any{"specversion": "2.0"})
	s.PublishRaw(userRegistered, "no CloudEvent")
	user := s.register("zoe@home.example")
	odd := s.Publish(orderConfirmed, map[string]any{
		"order_id": newID(), "buyer_id": user, "items": []any{}, "total": map[string]any{"amount": 1, "currency": "XXXX"},
	})
	s.untilMails("user_id="+user.String(), 1, "kept")
	broken[odd] = `"XXXX" is no ISO 4217 currency`
	var letters []map[string]any
	testsupport.Eventually(t, "all are dead letters", func() bool {
		s.admin(s.running, "/dead-letters").into(t, &letters)
		return len(letters) == 6
	})
	for _, letter := range letters {
		cause, known := broken[uuid.MustParse(letter["id"].(string))]
		if !known {
			cause = "no CloudEvent"
		}
		if !strings.Contains(letter["cause"].(string), cause) || strings.Contains(letter["cause"].(string), "no address") ||
			letter["payload"] != nil || letter["dead_at"] == nil {
			t.Errorf("%v, expected %s", letter, cause)
		}
	}
	s.untilMetric(`events_processed_total{outcome="dead",subject="` + userRegistered + `"} 5`)
	s.deadLetters(letters[0]["id"].(string), odd)
}

// deadLetters pages, retries and discards.
func (s *shop) deadLetters(highest string, odd uuid.UUID) {
	s.t.Helper()
	base := "http://" + s.running.Admin().String() + "/dead-letters"
	var page []map[string]any
	s.admin(s.running, "/dead-letters?limit=2&after="+highest).into(s.t, &page)
	if len(page) != 2 || page[0]["id"].(string) >= highest {
		s.t.Error(page)
	}
	one := base + "/" + odd.String()
	if answer := s.do("POST", one+"/retry", nil); answer.status != 409 || !strings.Contains(answer.text, `"still_broken"`) {
		s.t.Error(answer)
	}
	s.Execute("update failed_events set payload = replace(payload, 'XXXX', 'EUR') where id = $1", odd)
	if answer := s.do("GET", one, nil); !strings.Contains(answer.text, "EUR") {
		s.t.Error(answer)
	}
	if answer := s.do("POST", one+"/retry", nil); answer.status != 200 || !strings.Contains(answer.text, odd.String()) {
		s.t.Error(answer)
	}
	s.untilMails("kind=order_confirmed", 1, "kept")
	if answer := s.do("GET", one, nil); answer.status != 404 {
		s.t.Error(answer)
	}
	if answer := s.do("DELETE", base+"/"+highest, nil); answer.status != http.StatusNoContent {
		s.t.Error(answer)
	}
	if answer := s.do("DELETE", base+"/"+highest, nil); answer.status != 404 {
		s.t.Error(answer)
	}
	for _, path := range []string{"/dead-letters?limit=0", "/dead-letters?after=x", "/parked-events?limit="} {
		if answer := s.admin(s.running, path); answer.status != 422 {
			s.t.Error(path, answer)
		}
	}
}

func TestWhatFailsIsTriedAgain(t *testing.T) {
	s := start(t, nil)
	s.Execute("alter table mails add constraint never check (kind <> 'welcome')")
	user := s.register("zoe@home.example")
	s.untilMetric(`events_processed_total{outcome="retried",subject="` + userRegistered + `"} 1`)
	s.Execute("alter table mails drop constraint never")
	s.untilMails("user_id="+user.String(), 1, "kept")
}

func TestWhatTheBrokerLostIsPublishedAgain(t *testing.T) {
	s := start(t, nil)
	user := s.register("zoe@home.example")
	s.order(user)
	s.untilPublished(emailSent, 2)
	s.LoseStream()
	s.untilPublished(emailSent, 2) // within ten seconds

	s.running.Stop()
	s.LoseStream()
	// Others publish, so the stream counts on over what was lost.
	for range 10 {
		s.order(user)
	}
	s.running = s.startAnother(nil)
	s.untilMails("user_id="+user.String(), 12, "kept")
	s.untilPublished(emailSent, 12)
	s.untilAllNoted()
	before := s.places()
	// What is there is not published again by the next look, which each start begins with.
	s.running.Stop()
	s.running = s.startAnother(nil)
	s.untilMetric("events_stream_max_bytes 6.7108864e+07") // Looked.
	if after := s.places(); !slices.Equal(after, before) {
		t.Errorf("%v, and before %v", after, before)
	}
	s.untilPublished(emailSent, 12)
}

func TestWhatTheBrokerStillHasIsNotPublishedAgain(t *testing.T) {
	s := start(t, nil)
	user := s.register("zoe@home.example")
	for count := 1; count <= 6; count++ { // One by one, so that each event of others stands before that of its mail.
		s.untilPublished(emailSent, count)
		s.order(user)
	}
	s.untilPublished(emailSent, 7)
	s.untilAllNoted()
	s.running.Stop()
	before := s.places()
	s.LoseEnd(2 * 3)
	// Others publish, so the stream counts on over what was lost.
	for range 20 {
		s.order(user)
	}
	s.running = s.startAnother(nil)
	s.untilPublished(emailSent, 27)
	s.untilAllNoted()
	after := s.places()
	if !slices.Equal(after[:3], before[:3]) {
		t.Errorf("what is there was published again: %v, and before %v", after, before)
	}
	for i, place := range after[3:7] {
		if place == before[3+i] {
			t.Errorf("what was lost was not published again: %v, and before %v", after, before)
		}
	}
	// What the stream let go because of its limits was not lost.
	s.running.Stop()
	s.LetGo()
	s.running = s.startAnother(nil)
	s.untilMetric("events_stream_max_bytes 6.7108864e+07") // Looked.
	if left := s.places(); !slices.Equal(left, after) {
		t.Errorf("what was let go was published again: %v, and before %v", left, after)
	}
}

func (s *shop) untilAllNoted() {
	s.t.Helper()
	testsupport.Eventually(s.t, "everything is noted as published", func() bool {
		return testsupport.Query[int](s.Backends, "select count(*) from outbox where published_at is null") == 0
	})
}

// places are those of the events on the broker, and when they were published, in the order in which they happened.
func (s *shop) places() []string {
	s.t.Helper()
	return testsupport.Query[[]string](s.Backends,
		"select array_agg(stream_sequence || ' at ' || published_at order by id) from outbox where published_at is not null")
}
