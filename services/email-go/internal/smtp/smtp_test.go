package smtp

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/settings"
	"shopkeeper.dev/email/internal/testsupport"
)

// Replies as the named servers write them.
func TestARefusalIsARecipientsOnlyWhereItSaysSo(t *testing.T) {
	for _, test := range []struct {
		at       stage
		code     int
		text     string
		expected Outcome
	}{
		// Postfix
		{recipient, 550, "5.1.1 <a@b.example>: Recipient address rejected: User unknown", Refused},
		{recipient, 554, "5.7.1 <a@b.example>: Relay access denied", RefusedUnclear},
		{recipient, 553, "5.7.1 <shop@x.example>: Sender address rejected: not owned by user", RefusedUnclear},
		{recipient, 550, "5.1.8 <shop@x.example>: Sender address rejected: Domain not found", SenderRefused},
		{recipient, 550, "5.1.2 <a@b.example>: Recipient address rejected: Domain not found", Refused},
		{recipient, 552, "5.2.2 Mailbox full", Refused},
		{content, 552, "5.3.4 Message size exceeds fixed limit", Refused},
		// Exim
		{recipient, 550, "Unrouteable address", Refused},
		{recipient, 550, "relay not permitted", RefusedUnclear},
		{recipient, 550, "Sender verify failed", RefusedUnclear},
		{sender, 550, "Verification failed for <shop@x.example>", SenderRefused},
		// Sendmail
		{sender, 553, "5.1.8 <shop@x.example>... Domain of sender address does not exist", SenderRefused},
		{recipient, 550, "5.7.1 <a@b.example>... Relaying denied", RefusedUnclear},
		// Exchange
		{sender, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", SenderRefused},
		{recipient, 550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain", RefusedUnclear},
		{content, 550, "5.7.60 SMTP; Client does not have permissions to send as this sender", RefusedUnclear},
		// Large providers
		{content, 550, "5.7.26 This mail has been blocked because the sender is unauthenticated.", RefusedUnclear},
		{recipient, 550, "5.4.5 Daily user sending limit exceeded.", RefusedUnclear},
		{content, 554, "Message rejected: Email address is not verified.", RefusedUnclear},
		{sender, 530, "5.7.0 Authentication Required", LogInRefused},
		{recipient, 535, "5.7.8 Authentication credentials invalid", LogInRefused},
		// Small ones
		{recipient, 551, "User not local", Refused},
		{recipient, 554, "Transaction failed", RefusedUnclear},
		{content, 554, "no", RefusedUnclear},
		{recipient, 550, "", Refused},
	} {
		if got := about(test.at, test.code, test.text); got != test.expected {
			t.Errorf("%v %d %s: %s", test.at, test.code, test.text, got)
		}
	}
}

func TestOnlyThreeNumbersAreAnEnhancedCode(t *testing.T) {
	if subject, detail, ok := enhanced("#5.1.10 no such user"); !ok || subject != 1 || detail != 10 {
		t.Error(subject, detail, ok)
	}
	for _, text := range []string{"", "5.1 no", "4.1.1 later", "5.x.1", "5.99999.1", "no such user"} {
		if subject, detail, ok := enhanced(text); ok {
			t.Error(text, subject, detail)
		}
	}
}

func message() Message {
	return Message{
		ID: uuid.MustParse("00000000-0000-0000-0000-000000000007"), TraceID: "0af7651916cd43dd8448eb211c80319c", From: mail.Address{Name: "Demo", Address: "shop@shop.example"},
		To: "zoe@home.example", Subject: "Your order is confirmed ✓", Text: "Hello ✓\n.\nEnd", HTML: "<p>Hello</p>",
		Date: time.Unix(1_700_000_000, 0),
	}
}

func read(t *testing.T, m Message) *mail.Message {
	t.Helper()
	text, err := m.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestAMessageHasItsHeaderAndBothParts(t *testing.T) {
	m := read(t, message())
	for name, expected := range map[string]string{
		"Message-ID":     "<00000000-0000-0000-0000-000000000007@shop.example>",
		"X-Trace-Id":     "0af7651916cd43dd8448eb211c80319c",
		"Auto-Submitted": "auto-generated",
		"Date":           "Tue, 14 Nov 2023 22:13:20 +0000",
		"From":           `"Demo" <shop@shop.example>`,
		"To":             "zoe@home.example",
	} {
		if got := m.Header.Get(name); got != expected {
			t.Errorf("%s: %s", name, got)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != message().Subject {
		t.Error(subject, err)
	}
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for _, expected := range []string{message().Text, message().HTML} {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil || strings.ReplaceAll(string(text), "\r\n", "\n") != expected {
			t.Errorf("%q, %v", text, err)
		}
	}
}

func TestALongSubjectIsFolded(t *testing.T) {
	m := message()
	m.Subject = strings.Repeat("ä", 200)
	text, err := m.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\r\n") {
		if len(line) > 998 || strings.HasPrefix(line, "Subject") && len(line) > 90 {
			t.Error(len(line), line)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(read(t, m).Header.Get("Subject"))
	if err != nil || subject != m.Subject {
		t.Error(subject, err)
	}
}

func TestAnAddressWithALineEndIsRefusedAndNotRepeated(t *testing.T) {
	for _, to := range []string{
		"eve@home.example\r\nRCPT TO:<all@shop.example>", "eve", "Eve <eve@home.example>", "", "eve@home.example, x@y.example",
	} {
		m := message()
		m.To = to
		if text, err := m.Bytes(); err == nil || to != "" && strings.Contains(err.Error(), to) {
			t.Errorf("%q: %s, %v", to, text, err)
		}
	}
}

func client(sink *testsupport.Sink, tls settings.TLS) *Client {
	c := NewClient(settings.Server{
		Host: "localhost", Port: sink.Port, TLS: tls, Username: "shop", Password: "s3cret",
	}, "shop.example")
	c.roots = sink.Roots
	return c
}

func send(t *testing.T, c *Client) Attempt {
	t.Helper()
	text, err := message().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return c.Send("shop@shop.example", "zoe@home.example", text)
}

var encryptions = map[settings.TLS]testsupport.Encryption{
	settings.StartTLS: testsupport.StartTLS, settings.ImplicitTLS: testsupport.ImplicitTLS,
}

func TestMailsAndTheLogInGoOverOneEncryptedConnection(t *testing.T) {
	for tls, encryption := range encryptions {
		sink := testsupport.NewSink(t, encryption)
		c := client(sink, tls)
		for range 2 {
			if attempt := send(t, c); attempt.Outcome != Taken {
				t.Fatal(tls, attempt)
			}
		}
		c.Close()
		// "\0shop\0s3cret" in base64 (RFC 4616).
		logIns := sink.Commands("AUTH")
		if len(sink.Mails()) != 2 || sink.Connections() != 1 || len(logIns) != 1 || logIns[0] != "AUTH PLAIN AHNob3AAczNjcmV0" {
			t.Error(tls, len(sink.Mails()), sink.Connections(), logIns)
		}
		if !strings.Contains(sink.Mails()[0], "Hello") {
			t.Error(sink.Mails())
		}
	}
}

func TestTheCertificateOfAStrangerIsRefused(t *testing.T) {
	for tls, encryption := range encryptions {
		sink := testsupport.NewSink(t, encryption)
		c := client(sink, tls)
		c.roots = nil
		attempt := send(t, c)
		if attempt.Outcome != Unreachable || !strings.Contains(attempt.Cause, "certificate") || len(sink.Commands("AUTH")) > 0 {
			t.Error(tls, attempt)
		}
	}
}

func TestAServerWithoutTLSIsNotTalkedTo(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.Plain)
	sink.Refuse("STARTTLS", "502 what?")
	attempt := send(t, client(sink, settings.StartTLS))
	if attempt.Outcome != Unreachable || len(sink.Commands("AUTH")) > 0 || !strings.HasSuffix(attempt.Cause, "encrypted: 502 what?") {
		t.Error(attempt)
	}
}

func TestWhatAServerSaysDecides(t *testing.T) {
	for _, test := range []struct {
		command, reply string
		expected       Outcome
		code           int
	}{
		{"MAIL", "451 4.3.0 later", Unreachable, 451},
		{"MAIL", "550 5.7.60 not you", SenderRefused, 550},
		{"MAIL", testsupport.HangUp, Unreachable, 0},
		{"RCPT", "450 4.2.0 later", Deferred, 450},
		{"RCPT", "550 5.1.1 nobody", Refused, 550},
		{"RCPT", "554 5.7.1 Relay access denied", RefusedUnclear, 554},
		{"RCPT", testsupport.HangUp, Deferred, 0},
		{"DATA", "451 4.3.0 later", Deferred, 451},
		{".", "552 5.3.4 too large", Refused, 552},
		{".", "451 4.3.0 later", Deferred, 451},
		{".", testsupport.HangUp, Deferred, 0},
		{".", testsupport.Silence, Deferred, 0},
		{"AUTH", "535 5.7.8 no", LogInRefused, 0},
		{"AUTH", "454 4.7.0 later", Unreachable, 0},
		{"AUTH", testsupport.HangUp, Unreachable, 0},
		{"EHLO", testsupport.HangUp, Unreachable, 0},
	} {
		sink := testsupport.NewSink(t, testsupport.ImplicitTLS)
		sink.Refuse(test.command, test.reply)
		c := client(sink, settings.ImplicitTLS)
		c.sendTime = time.Second
		attempt := send(t, c)
		if attempt.Outcome != test.expected || attempt.Code != test.code || attempt.Cause == "" ||
			strings.Contains(attempt.Cause, "s3cret") {
			t.Errorf("%s %s: %+v", test.command, test.reply, attempt)
		}
		sink.Behave(nil)
		if attempt := send(t, c); attempt.Outcome != Taken {
			t.Errorf("after %s %s: %+v", test.command, test.reply, attempt)
		}
	}
}

func TestACauseIsTextOfBoundedLength(t *testing.T) {
	long := strings.Repeat("é", causeMax)
	for command, outcome := range map[string]Outcome{"AUTH": LogInRefused, "MAIL": SenderRefused, "RCPT": Refused} {
		for _, reply := range []string{"550 5.1.1 \xfc", "550 5.1.1 \x00", "550 5.1.1 " + long} {
			sink := testsupport.NewSink(t, testsupport.ImplicitTLS)
			sink.Refuse(command, reply)
			attempt := send(t, client(sink, settings.ImplicitTLS))
			if attempt.Outcome != outcome || !utf8.ValidString(attempt.Cause) || strings.Contains(attempt.Cause, "\x00") ||
				len(attempt.Cause) > causeMax+100 || !strings.Contains(attempt.Cause, "5.1.1") {
				t.Errorf("%s %.20q: %+v", command, reply, attempt)
			}
		}
	}
}

func TestLogInIsUsedWhereThereIsNoPlain(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.ImplicitTLS)
	sink.Behave(func(command string) string {
		switch command {
		case "EHLO shop.example":
			return "250-sink\r\n250 AUTH LOGIN"
		case "AUTH LOGIN":
			return "334 VXNlcm5hbWU6"
		case "c2hvcA==": // shop
			return "334 UGFzc3dvcmQ6"
		case "czNjcmV0": // s3cret
			return "235 welcome"
		}
		return ""
	})
	if attempt := send(t, client(sink, settings.ImplicitTLS)); attempt.Outcome != Taken {
		t.Error(attempt)
	}
}

func TestAnAddressThatIsNotASCIINeedsAServerThatTakesSuch(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.ImplicitTLS)
	c := client(sink, settings.ImplicitTLS)
	if attempt := c.Send("shop@shop.example", "zoë@home.example", []byte("x")); attempt.Outcome != Refused {
		t.Error(attempt)
	}
	sink.Behave(func(command string) string {
		if strings.HasPrefix(command, "EHLO") {
			return "250-sink\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250 SMTPUTF8"
		}
		return ""
	})
	for _, mail := range [][2]string{{"zoë@home.example", "To: zoë@home.example"}, {"zoe@home.example", "To: zoe@home.example"}} {
		if attempt := c.Send("shop@shop.example", mail[0], []byte(mail[1])); attempt.Outcome != Taken {
			t.Error(attempt)
		}
	}
	// Nothing is asked for that a mail does not need.
	expected := []string{"MAIL FROM:<shop@shop.example> SMTPUTF8 BODY=8BITMIME", "MAIL FROM:<shop@shop.example>"}
	if said := sink.Commands("MAIL"); !slices.Equal(said, expected) {
		t.Error(said)
	}
}

func TestAConnectionThatWasIdleIsAskedWhetherItLives(t *testing.T) {
	sink := testsupport.NewSink(t, testsupport.ImplicitTLS)
	c := client(sink, settings.ImplicitTLS)
	send(t, c)
	c.used = time.Now().Add(-idleTime)
	send(t, c)
	sink.Refuse("NOOP", testsupport.HangUp)
	c.used = time.Now().Add(-idleTime)
	if attempt := send(t, c); attempt.Outcome != Taken || sink.Connections() != 2 || len(sink.Commands("NOOP")) != 2 {
		t.Error(attempt, sink.Connections(), sink.Commands("NOOP"))
	}
}
