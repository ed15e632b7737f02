package outbound

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
)

func TestKeySetHasThePublicKeyAlone(t *testing.T) {
	key := must(NewSigningKey())
	jwks := must(NewSigner(key)).JWKS()
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	public := key.jwk.Key.(ed25519.PrivateKey).Public().(ed25519.PublicKey)
	x := base64.RawURLEncoding.EncodeToString(public)
	// RFC 7638: the required members in lexicographic order, without spaces.
	thumbprint := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":%q}`, x))
	want := []map[string]string{{
		"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA",
		"kid": base64.RawURLEncoding.EncodeToString(thumbprint[:]),
	}}
	if diff := cmp.Diff(want, set.Keys); diff != "" {
		t.Errorf("the key set differs (-want +got):\n%s", diff)
	}
}

func TestSigningKeySurvivesItsStore(t *testing.T) {
	for _, algorithm := range SigningAlgorithms {
		key := must(NewSigningKeyOf(algorithm))
		stored := must(key.Marshal())
		again, err := ParseSigningKey(stored)
		if err != nil {
			t.Fatal(err)
		}
		if again.ID() != key.ID() || again.Algorithm() != algorithm {
			t.Errorf("the key was %s of %s and is %s of %s", key.ID(), algorithm, again.ID(), again.Algorithm())
		}
		token := must(must(NewSigner(again)).Sign(Claims{ID: "1"}))
		jws := must(jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)}))
		if _, err := jws.Verify(key.jwk.Public()); err != nil {
			t.Errorf("%s: the key that was read back signs differently: %v", algorithm, err)
		}
	}
	if _, err := NewSigningKeyOf("HS256"); err == nil {
		t.Error("there is a signing key for HS256")
	}
}

// TestSignerTakesTheKeyOfItsTime, and all are in the key set, the next one too.
func TestSignerTakesTheKeyOfItsTime(t *testing.T) {
	s := &Signer{}
	var keys []UsedKey
	for n, algorithm := range SigningAlgorithms {
		keys = append(keys, UsedKey{must(NewSigningKeyOf(algorithm)), time.Unix(int64(1000*n), 0)})
	}
	if err := s.Use(keys); err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(s.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for issued, want := range map[int64]int{-1: 0, 0: 0, 999: 0, 1000: 1, 1999: 1, 2000: 2, 1 << 40: 2} {
		token := must(s.Sign(Claims{IssuedAt: issued}))
		jws := must(jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256}))
		header := jws.Signatures[0].Header
		if header.KeyID != keys[want].ID() || header.Algorithm != keys[want].Algorithm() {
			t.Errorf("at %d it signs with %s, %s", issued, header.KeyID, header.Algorithm)
		}
		published := set.Key(header.KeyID)
		if len(published) != 1 || !published[0].IsPublic() || published[0].Algorithm != header.Algorithm {
			t.Fatalf("the key set has %v for it", published)
		}
		if _, err := jws.Verify(published[0]); err != nil {
			t.Errorf("at %d: %v", issued, err)
		}
	}
	if len(set.Keys) != len(keys) || s.Use(nil) == nil || len(must(json.Marshal(set))) == 0 {
		t.Errorf("the key set has %d keys", len(set.Keys))
	}
	for range 200 { // a number may begin with zeros
		token := must(s.Sign(Claims{IssuedAt: 1000}))
		if got := len(token[strings.LastIndex(token, ".")+1:]); got != 86 {
			t.Fatalf("an ES256 signature has %d characters: %s", got, token)
		}
	}
}

func TestSigningKeyIsNotPrinted(t *testing.T) {
	key := must(NewSigningKey())
	private := key.jwk.Key.(ed25519.PrivateKey)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(verb, key)
		if got != "signing key "+key.ID() || strings.Contains(got, fmt.Sprint(private[0])+" ") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	//lint:ignore SA9005 that nothing comes out is what this shows
	if b, _ := json.Marshal(key); string(b) != "{}" {
		t.Errorf("in JSON it is %s", b)
	}
}

func TestParseSigningKeyRefuses(t *testing.T) {
	key := must(NewSigningKey())
	public := must(key.jwk.Public().MarshalJSON())
	for _, s := range []string{
		"", "{}", "null", "[]", string(public),
		`{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"AAAA","d":"AAAA"}`,
		`{"kty":"OKP","crv":"X25519","x":"AAAA"}`,
	} {
		if key, err := ParseSigningKey([]byte(s)); err == nil {
			t.Errorf("%s is taken for %v", s, key)
		}
	}
}

func TestNewNeedsSignerAndIssuer(t *testing.T) {
	for _, o := range []Options{{}, {Signer: newSigner(t)}, {Issuer: "riposte.example"}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) has no error", o)
		}
	}
}
