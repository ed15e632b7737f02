package outbound

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

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
	key := must(NewSigningKey())
	stored := must(key.Marshal())
	again, err := ParseSigningKey(stored)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != key.ID() {
		t.Errorf("the kid was %s and is %s", key.ID(), again.ID())
	}
	token := must(must(NewSigner(again)).Sign(Claims{ID: "1"}))
	jws := must(jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA}))
	if _, err := jws.Verify(key.jwk.Public()); err != nil {
		t.Errorf("the key that was read back signs differently: %v", err)
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
