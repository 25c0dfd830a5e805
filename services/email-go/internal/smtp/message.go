package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Message is a mail as it is sent. What is written of it is ASCII, but for an address that is not.
type Message struct {
	// Becomes the Message-ID, so that a second sending of the same mail is recognised by the reader's program.
	ID uuid.UUID
	// The trace of what caused it, so that whoever has the mail can ask where it comes from; empty where there is none.
	TraceID                 string
	From                    mail.Address
	To, Subject, Text, HTML string
	Date                    time.Time
}

// IsAddress says whether the text is the address of a mailbox, and nothing else.
func IsAddress(text string) bool {
	address, err := mail.ParseAddress(text)
	return err == nil && address.Address == text && !strings.ContainsAny(text, "\r\n")
}

// Bytes are the message with its header; an error says nothing of the address itself, because it goes to logs.
func (m Message) Bytes() ([]byte, error) {
	if !IsAddress(m.To) {
		return nil, errors.New("the recipient's address is none")
	}
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for _, part := range []struct{ kind, text string }{{"text/plain", m.Text}, {"text/html", m.HTML}} {
		if err := addPart(parts, part.kind, part.text); err != nil {
			return nil, fmt.Errorf("the message cannot be put together: %w", err)
		}
	}
	if err := parts.Close(); err != nil {
		return nil, fmt.Errorf("the message cannot be put together: %w", err)
	}
	_, host, _ := strings.Cut(m.From.Address, "@")
	var head bytes.Buffer
	if m.TraceID != "" {
		fmt.Fprintf(&head, "X-Trace-Id: %s\r\n", m.TraceID)
	}
	for _, line := range [][2]string{
		{"From", m.From.String()},
		// Without the name: whoever registers chooses it, for an address that may be somebody else's.
		{"To", m.To},
		{"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", m.Date.UTC().Format(time.RFC1123Z)},
		{"Message-ID", fmt.Sprintf("<%s@%s>", m.ID, host)},
		// Keeps out-of-office programs from answering (RFC 3834).
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", fmt.Sprintf("multipart/alternative;\r\n boundary=%q", parts.Boundary())},
	} {
		fmt.Fprintf(&head, "%s: %s\r\n", line[0], strings.ReplaceAll(line[1], "?= =?", "?=\r\n =?"))
	}
	head.WriteString("\r\n")
	return append(head.Bytes(), body.Bytes()...), nil
}

func addPart(parts *multipart.Writer, kind, text string) error {
	writer, err := parts.CreatePart(textproto.MIMEHeader{
		"Content-Type":              {kind + "; charset=utf-8"},
		"Content-Transfer-Encoding": {"quoted-printable"},
	})
	if err != nil {
		return err
	}
	encoder := quotedprintable.NewWriter(writer)
	if _, err := encoder.Write([]byte(text)); err != nil {
		return err
	}
	return encoder.Close()
}
