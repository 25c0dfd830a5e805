// Package events publishes through an outbox in the business transaction and applies through an inbox in the transaction of the
// effect. PostgreSQL holds the truth; the broker may lose everything and be filled again.
package events

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/strictjson"
	"shopkeeper.dev/email/internal/telemetry"
)

// Envelope is a CloudEvent 1.0.
type Envelope struct {
	SpecVersion string    `json:"specversion"`
	ID          uuid.UUID `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	// The aggregate that the event is about.
	Subject     string    `json:"subject"`
	Time        time.Time `json:"time"`
	ContentType *string   `json:"datacontenttype,omitempty"`
	// Counts up per aggregate.
	Sequence    int64           `json:"sequence"`
	Traceparent *string         `json:"traceparent,omitempty"`
	Data        json.RawMessage `json:"data"`
}

// Event is what a service publishes.
type Event interface {
	// Name is what happened: email.sent.
	Name() string
}

func newEnvelope(ctx context.Context, service, aggregate string, sequence int64, event Event) (Envelope, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Envelope{}, err
	}
	data, err := json.Marshal(event)
	contentType := "application/json"
	return Envelope{
		SpecVersion: "1.0",
		ID:          id,
		Source:      "/shop/" + service,
		Type:        fmt.Sprintf("shop.%s.%s.v1", service, event.Name()),
		Subject:     aggregate,
		Time:        time.Now().UTC(),
		ContentType: &contentType,
		Sequence:    sequence,
		Traceparent: telemetry.Traceparent(ctx),
		Data:        data,
	}, err
}

// parse reads what arrived on a subject. The subject is what the broker lets a service publish on; what an event says of itself
// must agree with it.
func parse(subject string, payload []byte) (*Envelope, error) {
	event := &Envelope{}
	if err := strictjson.Unmarshal(payload, event); err != nil {
		return nil, fmt.Errorf("no CloudEvent: %w", err)
	}
	if event.SpecVersion != "1.0" {
		return nil, fmt.Errorf("CloudEvents %s is not known", event.SpecVersion)
	}
	if event.Type != subject {
		return nil, fmt.Errorf("an event %s was published on %s", event.Type, subject)
	}
	return event, nil
}

// Read reads the data of an event. Data that do not fit are dead, with the reason.
func Read[T any](event *Envelope) (T, error) {
	var data T
	if err := strictjson.Unmarshal(event.Data, &data); err != nil {
		return data, Dead(fmt.Sprintf("the data of %s is not as agreed: %v", event.Type, err))
	}
	return data, nil
}

// payloadID is the id of a payload without a readable one: of its content, so that its redelivery is the same dead letter.
func payloadID(payload []byte) uuid.UUID {
	digest := sha256.Sum256(payload)
	id := uuid.UUID(digest[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8: custom
	id[8] = id[8]&0x3f | 0x80
	return id
}

// asText is a payload as PostgreSQL's text takes it: every character but one.
func asText(payload []byte) string {
	valid := bytes.ToValidUTF8(payload, []byte("\ufffd"))
	return string(bytes.ReplaceAll(valid, []byte{0}, []byte("\ufffd")))
}
