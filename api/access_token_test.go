package api_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/api"
)

// parts are a JWT's header and claims.
func parts(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	for i, part := range strings.Split(token, ".")[:2] {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, []*map[string]any{&header, &claims}[i]); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

// TestAccessTokenIsRFC9068s.
func TestAccessTokenIsRFC9068s(t *testing.T) {
	_, store := newAPI(t)
	tokens := newAccessTokens(t, store)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	token, err := tokens.Issue(p.Client)
	if err != nil {
		t.Fatal(err)
	}
	other, err := tokens.Issue(p.Client)
	if err != nil {
		t.Fatal(err)
	}
	header, claims := parts(t, token)
	_, others := parts(t, other)
	if header["typ"] != "at+jwt" || header["alg"] != "EdDSA" || len(header["kid"].(string)) != 43 || len(header) != 3 {
		t.Errorf("the header is %v", header)
	}
	if claims["iss"] != "riposte.example" || claims["aud"] != "riposte.example" || claims["sub"] != p.ID || claims["client_id"] != p.ClientID ||
		claims["exp"].(float64)-claims["iat"].(float64) != 3900 || claims["jti"] == others["jti"] || len(claims) != 7 {
		t.Errorf("the claims are %v", claims)
	}
}

// TestCallsNeedThisServersAccessToken: what else is signed, by this server or by
// whomever, is none.
func TestCallsNeedThisServersAccessToken(t *testing.T) {
	store := newStore(t)
	seed, err := api.NewAccessTokenKey()
	if err != nil {
		t.Fatal(err)
	}
	now := store.Now()
	key := ed25519.NewKeyFromSeed(seed)
	clock := storeAt{store, &now}
	s := newAPIOf(t, clock)
	s.AccessTokens, err = api.NewAccessTokens(seed, "riposte.example", clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	good, err := s.AccessTokens.Issue(p.Client)
	if err != nil {
		t.Fatal(err)
	}
	_, claims := parts(t, good)
	change := func(name string, value any) map[string]any {
		_, c := parts(t, good)
		with(name, value)(c)
		return c
	}
	sign := func(typ string, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
		if err != nil {
			t.Fatal(err)
		}
		payload, _ := json.Marshal(claims)
		jws, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		token, _ := jws.CompactSerialize()
		return token
	}
	_, another, _ := ed25519.GenerateKey(rand.Reader)
	pieces := strings.Split(good, ".")
	for name, token := range map[string]string{
		"another key":         sign("at+jwt", jose.EdDSA, another, claims),
		"the client's key":    sign("at+jwt", jose.EdDSA, p.key, claims),
		"a delivery's typ":    sign("JWT", jose.EdDSA, key, claims),
		"no typ":              signed(t, jose.EdDSA, key, "", claims),
		"the client's word":   p.assertion(t, "n", p.claims(now)),
		"another audience":    sign("at+jwt", jose.EdDSA, key, change("aud", "other.example")),
		"no audience":         sign("at+jwt", jose.EdDSA, key, change("aud", nil)),
		"another issuer":      sign("at+jwt", jose.EdDSA, key, change("iss", "other.example")),
		"expired":             sign("at+jwt", jose.EdDSA, key, change("exp", now.Unix())),
		"no exp":              sign("at+jwt", jose.EdDSA, key, change("exp", nil)),
		"no client":           sign("at+jwt", jose.EdDSA, key, change("client_id", nil)),
		"no sub":              sign("at+jwt", jose.EdDSA, key, change("sub", nil)),
		"another client":      sign("at+jwt", jose.EdDSA, key, change("client_id", "nobody@riposte.example/pcc")),
		"alg none":            base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + pieces[1] + ".",
		"HS256, public key":   sign("at+jwt", jose.HS256, []byte(key.Public().(ed25519.PublicKey)), claims),
		"no signature":        pieces[0] + "." + pieces[1] + ".",
		"another's signature": pieces[0] + "." + strings.Split(sign("at+jwt", jose.EdDSA, another, change("exp", now.Add(time.Hour).Unix())), ".")[1] + "." + pieces[2],
	} {
		if code, why := calls(t, s, token); code != http.StatusUnauthorized || !strings.Contains(why, `Bearer realm="riposte", error="invalid_token"`) {
			t.Errorf("%s: HTTP %d, %s", name, code, why)
		}
	}
	for range 2 { // verified, and remembered
		if code, _ := calls(t, s, good); code != http.StatusOK {
			t.Errorf("the token itself: HTTP %d", code)
		}
	}
	now = now.Add(65 * time.Minute)
	if code, _ := calls(t, s, good); code != http.StatusUnauthorized {
		t.Errorf("the token itself, after 65 minutes: HTTP %d", code)
	}
}

// TestRevokedClientsTokensAreRefused, also once another client has its name.
func TestRevokedClientsTokensAreRefused(t *testing.T) {
	s, store := newAPI(t)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	token := askToken(t, s, p.bySecret().Encode()).AccessToken
	if code, _ := calls(t, s, token); code != http.StatusOK {
		t.Errorf("before: HTTP %d", code)
	}
	if err := store.DeleteClient(t.Context(), p.ID); err != nil {
		t.Fatal(err)
	}
	if code, why := calls(t, s, token); code != http.StatusUnauthorized || !strings.Contains(why, "invalid_token") {
		t.Errorf("revoked: HTTP %d, %s", code, why)
	}
	noToken{p.bySecret().Encode(), nil, 401, "invalid_client", "no such client"}.check(t, s, "revoked")
	again := newGrantee(t, store, "billing", riposte.RoleAdmin, time.Time{})
	if code, _ := calls(t, s, token); code != http.StatusUnauthorized {
		t.Errorf("with a client of its name: HTTP %d", code)
	}
	if code, _ := calls(t, s, askToken(t, s, again.bySecret().Encode()).AccessToken); code != http.StatusOK {
		t.Errorf("the client of its name: HTTP %d", code)
	}
}

// TestTokenHasItsClientsRole.
func TestTokenHasItsClientsRole(t *testing.T) {
	s, store := newAPI(t)
	p := newGrantee(t, store, "billing", riposte.RoleViewer, time.Time{})
	token := askToken(t, s, p.bySecret().Encode()).AccessToken
	for rest, want := range map[string]int{"GET /api/v1/webhooks": 200, "GET /api/v1/keys/current": 200, "GET /api/v1/clients": 403, "POST /api/v1/webhooks": 403} {
		r := newRequest(t.Context(), rest, "{}")
		r.Header.Set("Authorization", "bearer "+token)
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: HTTP %d: %s", rest, w.Code, w.Body)
		}
	}
}

// TestConfiguredKeyMayLookLikeAToken: whoever chose it meant an API key.
func TestConfiguredKeyMayLookLikeAToken(t *testing.T) {
	s, store := newAPI(t)
	key, err := riposte.NewKeyWithSecret("test", riposte.RoleAdmin, "eyJhbGciOiJub25lIn0.e30.", store.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.Keys = append(s.Keys, key)
	if code, _ := calls(t, s, "eyJhbGciOiJub25lIn0.e30."); code != http.StatusOK {
		t.Errorf("HTTP %d", code)
	}
}

// TestRememberedTokensAreBounded: what has expired goes first.
func TestRememberedTokensAreBounded(t *testing.T) {
	_, store := newAPI(t)
	tokens := newAccessTokens(t, store)
	verify := func() {
		t.Helper()
		token, err := tokens.Issue(riposte.Client{ID: "1", ClientID: "a@h/pcc"})
		if err != nil {
			t.Fatal(err)
		}
		if id, clientID, err := tokens.Verify(token); err != nil || id != "1" || clientID != "a@h/pcc" {
			t.Fatalf("%q, %q, %v", id, clientID, err)
		}
	}
	fill := func(from int, expires time.Time) {
		for i := from; i < api.MaxRemembered; i++ {
			tokens.Remember(strconv.Itoa(i), expires)
		}
	}
	fill(1, store.Now().Add(time.Minute))
	for range 2 {
		verify()
		if n := tokens.Remembered(); n != api.MaxRemembered {
			t.Errorf("%d are remembered", n)
		}
	}
	tokens = newAccessTokens(t, store)
	fill(0, store.Now().Add(-time.Minute))
	verify()
	if n := tokens.Remembered(); n != 1 {
		t.Errorf("%d are remembered beside what has expired", n-1)
	}
}
