// Package smtp talks to the mail server: messages, one connection for many of them, and what an answer means.
package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"shopkeeper.dev/email/internal/settings"
)

const (
	// From the first packet to a connection that takes mails.
	connectTime = 15 * time.Second
	// From MAIL FROM to the server's last word, which may take minutes (RFC 5321, 4.5.3.2.6): a server that has the whole mail
	// looks into it. Together with the connect shorter than a sender's lease.
	sendTime = 5 * time.Minute
	// A connection that was idle longer is asked whether it still lives before it is used.
	idleTime = 5 * time.Second
	// How long an answer to QUIT is waited for.
	goodBye = 2 * time.Second
	// Bytes of a cause that are kept: a server may say as much as it likes.
	causeMax = 1000
)

// Outcome is what became of one attempt.
type Outcome string

const (
	// Taken: the server has taken the mail.
	Taken Outcome = "taken"
	// Refused: the server will never take this mail (5xx).
	Refused Outcome = "refused"
	// SenderRefused: the server refuses the sender, whatever the mail (5xx).
	SenderRefused Outcome = "sender refused"
	// RefusedUnclear: the server refuses the sender or this mail, it is not clear which (5xx).
	RefusedUnclear Outcome = "refused, unclear"
	// Deferred: the server does not take this mail now (4xx, or it broke off in the middle). It may be the mail's fault.
	Deferred Outcome = "deferred"
	// Unreachable: no server to talk to, or none that talks to this service now: not the mail's fault.
	Unreachable Outcome = "unreachable"
	// LogInRefused: the server does not accept the log-in, or wants one.
	LogInRefused Outcome = "log-in refused"
)

// Attempt is an outcome with the server's reply code, 0 where it gave none, and the cause in words that a database takes. They name
// no address, except where the server itself repeats it.
type Attempt struct {
	Outcome Outcome
	Code    int
	Cause   string
}

// Client is the client side of SMTP towards one server, for one mail at a time. It connects when needed.
type Client struct {
	server settings.Server
	// What it calls itself.
	domain string
	// Whom to trust; nil for the public roots.
	roots *x509.CertPool

	conn net.Conn
	open *smtp.Client
	used time.Time
	// So that tests need not wait for minutes.
	sendTime time.Duration
}

// NewClient does not connect yet.
func NewClient(server settings.Server, domain string) *Client {
	return &Client{server: server, domain: domain, sendTime: sendTime}
}

// Send sends one message and keeps the connection when it went well. It takes its time: a mail under way is not broken off.
func (c *Client) Send(from, to string, message []byte) Attempt {
	if failed := c.ready(); failed != nil {
		return *failed
	}
	_ = c.conn.SetDeadline(time.Now().Add(c.sendTime))
	at, err := c.transfer(from, to, message)
	if err == nil {
		c.used = time.Now()
		return Attempt{Outcome: Taken}
	}
	c.Close()
	return judge(at, err)
}

// ready makes sure of a connection that takes mails.
func (c *Client) ready() *Attempt {
	if c.open != nil && time.Since(c.used) >= idleTime {
		_ = c.conn.SetDeadline(time.Now().Add(goodBye))
		if c.open.Noop() != nil {
			c.Close()
		}
	}
	if c.open != nil {
		return nil
	}
	if err := c.connect(); err != nil {
		c.Close()
		return &Attempt{Outcome: Unreachable, Cause: words(err)}
	}
	if c.server.Username == "" {
		return nil
	}
	if err := c.open.Auth(&logIn{c.server}); err != nil {
		c.Close()
		outcome := Unreachable
		// Neither a server that is busy (4xx) nor one that breaks off has judged the log-in.
		if code, _ := replyOf(err); code >= 500 || errors.Is(err, errNoMechanism) {
			outcome = LogInRefused
		}
		return &Attempt{Outcome: outcome, Cause: "the server does not accept the log-in: " + words(err)}
	}
	return nil
}

func (c *Client) connect() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	address := net.JoinHostPort(c.server.Host, strconv.Itoa(int(c.server.Port)))
	trust := &tls.Config{ServerName: c.server.Host, RootCAs: c.roots, MinVersion: tls.VersionTLS12}
	var err error
	if c.server.TLS == settings.ImplicitTLS {
		c.conn, err = (&tls.Dialer{Config: trust}).DialContext(ctx, "tcp", address)
	} else {
		c.conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	_ = c.conn.SetDeadline(deadline)
	if c.open, err = smtp.NewClient(c.conn, c.server.Host); err != nil {
		return err
	}
	if err := c.open.Hello(c.domain); err != nil {
		return err
	}
	if c.server.TLS != settings.StartTLS {
		return nil
	}
	if err := c.open.StartTLS(trust); err != nil {
		return fmt.Errorf("the connection cannot be encrypted: %w", err)
	}
	return nil
}

var errNotASCII = errors.New("the server takes ASCII addresses only")

// transfer sends one mail over a connection that stands, and says how far it got.
func (c *Client) transfer(from, to string, message []byte) (stage, error) {
	parameters := ""
	if !isASCII(from + to) {
		if takesAll, _ := c.open.Extension("SMTPUTF8"); !takesAll {
			return recipient, errNotASCII
		}
		parameters += " SMTPUTF8"
	}
	if takesBytes, _ := c.open.Extension("8BITMIME"); takesBytes && !isASCII(string(message)) {
		parameters += " BODY=8BITMIME"
	}
	if err := c.mailFrom(from, parameters); err != nil {
		return sender, err
	}
	if err := c.open.Rcpt(to); err != nil {
		return recipient, err
	}
	data, err := c.open.Data()
	if err != nil {
		return content, err
	}
	if _, err := data.Write(message); err != nil {
		return content, err
	}
	return content, data.Close()
}

// mailFrom begins a mail. The one of net/smtp asks for whatever the server offers, which servers behind it may not have.
func (c *Client) mailFrom(from, parameters string) error {
	id, err := c.open.Text.Cmd("MAIL FROM:<%s>%s", from, parameters)
	if err != nil {
		return err
	}
	c.open.Text.StartResponse(id)
	defer c.open.Text.EndResponse(id)
	_, _, err = c.open.Text.ReadResponse(250)
	return err
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c > 127 })
}

// judge says what a failure means.
func judge(at stage, err error) Attempt {
	code, text := replyOf(err)
	attempt := Attempt{Code: code, Cause: words(err)}
	switch {
	case errors.Is(err, errNotASCII):
		attempt.Outcome = Refused
	case code >= 500:
		attempt.Outcome = about(at, code, text)
	case at == sender: // It has heard nothing of the mail yet.
		attempt.Outcome = Unreachable
	default:
		attempt.Outcome = Deferred
	}
	return attempt
}

// words are what an error says, without what is no text: a server may answer any bytes. Whether net/textproto quotes them depends
// on its version.
func words(err error) string {
	text := err.Error()
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		text = strings.Replace(text, reply.Error(), fmt.Sprintf("%d %s", reply.Code, reply.Msg), 1)
	}
	text = strings.ToValidUTF8(text[:min(len(text), causeMax)], "\uFFFD")
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

// replyOf is what the server answered; 0 where it gave no answer.
func replyOf(err error) (code int, text string) {
	if reply, ok := errors.AsType[*textproto.Error](err); ok && 400 <= reply.Code && reply.Code <= 599 {
		return reply.Code, reply.Msg
	}
	return 0, ""
}

// Close says good-bye.
func (c *Client) Close() {
	if c.open != nil {
		// The server may have gone first; there is nothing left to lose.
		_ = c.conn.SetDeadline(time.Now().Add(goodBye))
		_ = c.open.Quit()
	}
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.open, c.conn = nil, nil
}

var errNoMechanism = errors.New("it offers neither PLAIN nor LOGIN")

// logIn proves who we are by PLAIN, or by LOGIN where the server has no other. net/smtp has the first alone.
type logIn struct{ server settings.Server }

// Start implements smtp.Auth. The settings allow for no log-in without TLS.
func (l *logIn) Start(server *smtp.ServerInfo) (string, []byte, error) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		for _, offered := range server.Auth {
			if !strings.EqualFold(offered, mechanism) {
				continue
			}
			if mechanism == "PLAIN" {
				return mechanism, []byte("\x00" + l.server.Username + "\x00" + l.server.Password), nil
			}
			return mechanism, nil, nil
		}
	}
	return "", nil, errNoMechanism
}

// Next implements smtp.Auth: LOGIN asks for the name and then for the password.
func (l *logIn) Next(question []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	if strings.HasPrefix(strings.ToLower(string(question)), "user") {
		return []byte(l.server.Username), nil
	}
	return []byte(l.server.Password), nil
}
