package testsupport

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Issuer publishes its key where users does, and signs with it.
type Issuer struct {
	URL string
	key ed25519.PrivateKey
}

// NewIssuer serves until the test ends.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	x := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/jwks.json" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "test", "x": x,
		}}})
	}))
	t.Cleanup(server.Close)
	return &Issuer{server.URL, key}
}

// Token is valid for an hour, but for the claims that are given.
func (i *Issuer) Token(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{
		"sub": uuid.NewString(), "iss": "shop", "aud": "shop", "iat": time.Now().Unix(),
		"exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"admin"},
	}
	for name, value := range claims {
		all[name] = value
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, all)
	token.Header["kid"] = "test"
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
