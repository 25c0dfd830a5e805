package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
)

// issuerThat answers like this.
func issuerThat(t *testing.T, answers http.HandlerFunc) *Verifier {
	t.Helper()
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return NewVerifier(address)
}

func TestACallerThatDoesNotWaitSpoilsTheFetchForNobody(t *testing.T) {
	var asked atomic.Int32
	heard, goOn := make(chan struct{}, 2), make(chan struct{})
	v := issuerThat(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		heard <- struct{}{}
		<-goOn
		_, _ = w.Write([]byte(`{"keys":[]}`))
	})
	caller, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- v.fetch(caller, refetch) }()
	<-heard
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(goOn)
	if err := v.fetch(t.Context(), refetch); err != nil || asked.Load() != 1 {
		t.Error(err, asked.Load())
	}
}

func TestKeysComeFromTheIssuerItself(t *testing.T) {
	v := issuerThat(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/elsewhere" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(`{"keys":[]}`))
	})
	if err := v.fetch(t.Context(), 0); err == nil {
		t.Error("it followed a redirect")
	}
	if v.client.Transport.(*http.Transport).Proxy != nil {
		t.Error("it takes a proxy")
	}
}
