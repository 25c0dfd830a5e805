// Package auth checks access tokens offline with the keys that their issuer publishes.
package auth

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"shopkeeper.dev/email/internal/web"
)

const (
	// Issuer and audience of the tokens that buyers show.
	issuer = "shop"
	// The keys are fetched so often, and more often while they cannot be had.
	freshness, whileMissing = 5 * time.Minute, 500 * time.Millisecond
	// An unknown key id may be a new key: the keys are fetched again, but not more often than this.
	refetch = 5 * time.Second
	// A try that failed stands for all who waited for it, and for those who come so soon after it.
	failedFor = 250 * time.Millisecond
	// How long a request waits for the keys: longer while none is known yet, because then everything needs them.
	wait, firstWait = 500 * time.Millisecond, 2 * time.Second
)

// Verifier checks access tokens.
type Verifier struct {
	url    string
	client *http.Client

	mu   sync.RWMutex
	keys map[string]ed25519.PublicKey
	// The present question to the issuer, or the last one.
	last *question
}

// question is one try to fetch the keys. All who need them wait for the same one, and it goes on when they do not wait any longer.
type question struct {
	answered chan struct{}
	// Known once it is answered.
	at  time.Time
	err error
}

func (q *question) isUnderWay() bool {
	select {
	case <-q.answered:
		return false
	default:
		return true
	}
}

// stands says whether the answer is not to be asked for again.
func (q *question) stands(notYoungerThan time.Duration) bool {
	if q.err != nil {
		notYoungerThan = min(notYoungerThan, failedFor)
	}
	return time.Since(q.at) < notYoungerThan
}

// NewVerifier knows no key yet.
func NewVerifier(issuer *url.URL) *Verifier {
	// The keys come from the issuer itself, and from nowhere else.
	direct := http.DefaultTransport.(*http.Transport).Clone()
	direct.Proxy = nil
	return &Verifier{
		url: issuer.JoinPath("/.well-known/jwks.json").String(),
		client: &http.Client{
			Timeout:       5 * time.Second,
			Transport:     direct,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// KeepFresh fetches the keys now and then until stop.
func (v *Verifier) KeepFresh(stop context.Context) error {
	for {
		pause := freshness
		if err := v.fetch(stop, 0); err != nil {
			slog.Debug("the issuer's keys cannot be had", "error", err)
			pause = whileMissing
		}
		select {
		case <-stop.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// fetch asks the issuer, unless what is known is younger than that.
func (v *Verifier) fetch(ctx context.Context, notYoungerThan time.Duration) error {
	q := v.question(notYoungerThan)
	select {
	case <-q.answered:
		return q.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// question is the one to wait for: the last, or a new one.
func (v *Verifier) question(notYoungerThan time.Duration) *question {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last != nil && (v.last.isUnderWay() || v.last.stands(notYoungerThan)) {
		return v.last
	}
	q := &question{answered: make(chan struct{})}
	v.last = q
	go func() {
		defer close(q.answered)
		q.err = v.ask()
		q.at = time.Now()
	}()
	return q
}

func (v *Verifier) ask() error {
	answer, err := v.client.Get(v.url)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the issuer answered %d", answer.StatusCode)
	}
	var set struct {
		Keys []struct{ Kty, Crv, Kid, X string }
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, answer.Body, 1<<20)).Decode(&set); err != nil {
		return err
	}
	keys := map[string]ed25519.PublicKey{}
	for _, key := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(key.X)
		if err == nil && key.Kty == "OKP" && key.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize {
			keys[key.Kid] = x
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys = keys
	return nil
}

func (v *Verifier) key(kid string) (ed25519.PublicKey, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, known := v.keys[kid]
	return key, known
}

func (v *Verifier) knowsNone() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.keys) == 0
}

// fetchSoon says whether the keys could be had within the time that a request waits for them: requests must not pile up here while
// the issuer is away.
func (v *Verifier) fetchSoon(ctx context.Context) bool {
	isFirst := v.knowsNone()
	limit := wait
	if isFirst {
		limit = firstWait
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if v.fetch(ctx, refetch) == nil {
			return true
		}
		if !isFirst {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(failedFor):
		}
	}
}

type claims struct {
	jwt.RegisteredClaims
	Roles []string `json:"roles"`
}

var errNoKeys = errors.New("the keys cannot be had")

// Principal is who asks, as the access token says.
type Principal struct {
	ID    uuid.UUID
	roles []string
}

// Has says whether the token carries the role.
func (p Principal) Has(role string) bool { return slices.Contains(p.roles, role) }

// principal is the one of a valid token. An error is 401, and 503 while no key of the issuer can be had.
func (v *Verifier) principal(ctx context.Context, token string) (Principal, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, known := v.key(kid)
		if !known {
			fetched := v.fetchSoon(ctx)
			if key, known = v.key(kid); !known && !fetched {
				return nil, errNoKeys
			}
		}
		if !known {
			return nil, jwt.ErrTokenUnverifiable
		}
		return key, nil
	}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(issuer), jwt.WithAudience(issuer),
		jwt.WithExpirationRequired(), jwt.WithLeeway(5*time.Second))
	if errors.Is(err, errNoKeys) {
		return Principal{}, web.Unavailable("The keys that tokens are checked with cannot be had from the users service.")
	}
	id, wrong := uuid.Parse(c.Subject)
	if err != nil || wrong != nil {
		return Principal{}, web.Unauthenticated()
	}
	return Principal{id, c.Roles}, nil
}

// Handler answers whoever asks.
type Handler func(who Principal, w http.ResponseWriter, r *http.Request) error

// Authenticated lets only those pass who show a valid token. It comes before all that is read of the request.
func (v *Verifier) Authenticated(next Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return web.Unauthenticated()
		}
		who, err := v.principal(r.Context(), strings.TrimSpace(token))
		if err != nil {
			return err
		}
		return next(who, w, r)
	}
}

// Require lets only those pass whose token carries the role: who may not use a route is told just that, whatever is sent.
func (v *Verifier) Require(role string, next web.Handler) web.Handler {
	return v.Authenticated(func(who Principal, w http.ResponseWriter, r *http.Request) error {
		if !who.Has(role) {
			return web.NewProblem(http.StatusForbidden, "forbidden", "This needs the role "+role+".")
		}
		return next(w, r)
	})
}
