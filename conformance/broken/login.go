package main

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const issuer = "shop"

// authenticate says why whoever asks is not known. Services show the token of this one, people an access token of users.
func (s *service) authenticate(r *http.Request) error {
	shown, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !found:
		return errors.New("there is none")
	case s.isOurs(shown) || broken("http.login/unknown"):
		return nil
	default:
		return s.verify(r, shown)
	}
}

func (s *service) isOurs(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.settings.token)) == 1
}

// verify checks an access token: a JWT with the signature of a key that users publishes.
func (s *service) verify(r *http.Request, token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("it is no JWT")
	}
	var head struct{ Alg, Kid string }
	var claims struct {
		Iss, Aud string
		Exp      int64
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err := errors.Join(err, decode(parts[0], &head), decode(parts[1], &claims)); err != nil {
		return err
	}
	key, err := s.key(r, head.Kid)
	if err != nil {
		return err
	}
	isSigned := head.Alg == "EdDSA" && ed25519.Verify(key, []byte(parts[0]+"."+parts[1]), signature)
	switch {
	case !isSigned && !broken("http.login/key"):
		return errors.New("it is not signed by users")
	case time.Now().Unix() >= claims.Exp && !broken("http.login/expired"):
		return errors.New("it has expired")
	case claims.Iss != issuer && !broken("http.login/issuer"):
		return errors.New("it is of another issuer")
	case claims.Aud != issuer && !broken("http.login/audience"):
		return errors.New("it is for others")
	}
	return nil
}

func decode(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// key asks users each time: this service is asked rarely.
func (s *service) key(r *http.Request, id string) (ed25519.PublicKey, error) {
	request, err := http.NewRequestWithContext(r.Context(), "GET", s.settings.users+"/.well-known/jwks.json", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var set struct{ Keys []struct{ Kid, X string } }
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return nil, err
	}
	for _, key := range set.Keys {
		if bytes, err := base64.RawURLEncoding.DecodeString(key.X); key.Kid == id && err == nil && len(bytes) == ed25519.PublicKeySize {
			return bytes, nil
		}
	}
	return nil, fmt.Errorf("users has no key %q", id)
}
