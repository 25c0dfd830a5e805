// Package testsupport is what tests run against: a database and a broker account of their own, a mail server, an issuer of tokens.
package testsupport

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Encryption is how the connection to a Sink is encrypted.
type Encryption int

const (
	Plain Encryption = iota
	StartTLS
	ImplicitTLS
)

// Answers of a Sink that are none.
const (
	HangUp  = "hang up"
	Silence = "silence"
)

// Sink is a mail server that keeps what it is given.
type Sink struct {
	Port uint16
	// Roots trust its certificate, which is for localhost.
	Roots *x509.CertPool

	tls        *tls.Config
	encryption Encryption
	mu         sync.Mutex
	behave     func(command string) string
	mails      []string
	commands   []string
	accepted   int
}

// NewSink listens on a free port until the test ends.
func NewSink(t testing.TB, encryption Encryption) *Sink {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{Port: uint16(listener.Addr().(*net.TCPAddr).Port), encryption: encryption}
	s.tls, s.Roots = certificate(t)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.accepted++
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
	return s
}

// Behave answers a command ("RCPT TO:<…>", "DATA", "." for a mail's end) otherwise than well: with what the function returns, unless
// that is empty.
func (s *Sink) Behave(answer func(command string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behave = answer
}

// Refuse answers all commands that begin like this with the reply.
func (s *Sink) Refuse(command, reply string) {
	s.Behave(func(given string) string {
		if strings.HasPrefix(given, command) {
			return reply
		}
		return ""
	})
}

// Mails are those that were taken, header and body.
func (s *Sink) Mails() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.mails...)
}

// Commands that were heard and begin like this.
func (s *Sink) Commands(begin string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, command := range s.commands {
		if strings.HasPrefix(command, begin) {
			found = append(found, command)
		}
	}
	return found
}

// Connections that were accepted.
func (s *Sink) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *Sink) hear(command string) (unusual string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, command)
	if s.behave == nil {
		return ""
	}
	return s.behave(command)
}

func (s *Sink) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	encrypted := s.encryption == ImplicitTLS
	if encrypted {
		conn = tls.Server(conn, s.tls)
	}
	lines := bufio.NewReader(conn)
	say := func(reply string) { _, _ = fmt.Fprintf(conn, "%s\r\n", reply) }
	say("220 sink")
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		command := strings.TrimSpace(line)
		mail := ""
		unusual := s.hear(command)
		if command == "DATA" && unusual == "" {
			say("354 go on")
			mail = body(lines)
			command = "."
			unusual = s.hear(command)
		}
		switch {
		case unusual == HangUp:
			return
		case unusual == Silence:
			_, _ = lines.ReadString('\n')
			return
		case unusual != "":
			say(unusual)
		case strings.HasPrefix(command, "EHLO"):
			say(s.greeting(encrypted))
		case command == "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, s.tls)
			lines, encrypted = bufio.NewReader(conn), true
		case strings.HasPrefix(command, "AUTH"):
			say("235 welcome")
		case command == "QUIT":
			say("221 bye")
			return
		default:
			s.take(command, mail)
			say("250 fine")
		}
	}
}

func (s *Sink) greeting(encrypted bool) string {
	text := "250-sink\r\n250-8BITMIME\r\n"
	if encrypted {
		text += "250-AUTH PLAIN LOGIN\r\n"
	} else if s.encryption == StartTLS {
		text += "250-STARTTLS\r\n"
	}
	return text + "250 OK"
}

// take keeps the mail when its end has come.
func (s *Sink) take(command, mail string) {
	if command != "." {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, mail)
}

func body(lines *bufio.Reader) string {
	var text strings.Builder
	for {
		line, err := lines.ReadString('\n')
		if err != nil || line == ".\r\n" {
			return text.String()
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
}

func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}
