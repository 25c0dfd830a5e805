package contracts

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
)

func encoded(value any) string {
	text, _ := json.Marshal(value)
	return base64.RawURLEncoding.EncodeToString(text)
}

// administrator publishes a key where users does, and gives an access token of an administrator that is signed with it.
func administrator(t *testing.T) (usersURL, token string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := map[string]string{
		"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "test", "x": base64.RawURLEncoding.EncodeToString(public),
	}
	users := http.NewServeMux()
	users.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{key}})
	})
	server := httptest.NewServer(users)
	t.Cleanup(server.Close)
	now := time.Now()
	signed := encoded(map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": "test"}) + "." + encoded(map[string]any{
		"sub": uuid.NewString(), "iss": "shop", "aud": "shop", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "roles": []string{"admin"},
	})
	return server.URL, signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(private, []byte(signed)))
}
