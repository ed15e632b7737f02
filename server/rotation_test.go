package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// TestReceiverThatKeepsTheKeySetTakesTheNextKey: it looked when the next key was published,
// and needs no other look when that is used. The old one leaves the key set in time.
func TestReceiverThatKeepsTheKeySetTakesTheNextKey(t *testing.T) {
	for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			var clock ripostetest.Clock
			s := ripostetest.Start(t, func(c *server.Config) { c.Now = clock.Now })
			r, err := ripostetest.NewReceiver(func(ripostetest.Delivery) ripostetest.Reply { return ripostetest.Reply{} })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			res, err := s.ServerKeys.Rotate(t.Context(), &ripostev1.ServerKeysServiceRotateRequest{
				Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING, Algorithm: algorithm})
			if err != nil {
				t.Fatal(err)
			}
			next := res.GetKey().GetId()
			kept := keySet(t, s)
			if len(kept.Keys) != 2 || len(kept.Key(next)) != 1 {
				t.Fatalf("the key set has %d keys, and %d of the next", len(kept.Keys), len(kept.Key(next)))
			}
			if kid, _ := signedBy(t, s, r, kept); kid == next {
				t.Error("the next key is in use")
			}
			clock.Advance(10*time.Minute + time.Second)
			if kid, by := signedBy(t, s, r, kept); kid != next || by != algorithm {
				t.Errorf("ten minutes later %s, %s, signs, want %s", kid, by, next)
			}
			clock.Advance(4 * time.Minute)
			for deadline := time.Now().Add(10 * time.Second); len(keySet(t, s).Keys) != 1; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the old key is still published")
				}
			}
		})
	}
}

func keySet(t *testing.T, s *ripostetest.Server) jose.JSONWebKeySet {
	t.Helper()
	keys, err := ripostetest.FetchKeys(s.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// signedBy has the server deliver something, and says with which of the keys it is signed,
// and by which algorithm. The server's clock is ahead, so the times are not looked at.
func signedBy(t *testing.T, s *ripostetest.Server, r *ripostetest.Receiver, keys jose.JSONWebKeySet) (kid, algorithm string) {
	t.Helper()
	w, err := s.Webhooks.Create(t.Context(), &webhooksv1.WebhooksServiceCreateRequest{DisplayName: "w", Url: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.Webhooks.Test(t.Context(), &webhooksv1.WebhooksServiceTestRequest{Id: w.GetWebhook().GetId()})
	if err != nil {
		t.Fatal(err)
	}
	id := i.GetWebhook().GetId()
	if err := r.Wait(t.Context(), func() bool { return len(r.Deliveries(id)) > 0 }); err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(r.Deliveries(id)[0].Header.Get("Authorization"), " ")
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	header := jws.Signatures[0].Header
	if !slices.ContainsFunc(keys.Key(header.KeyID), func(k jose.JSONWebKey) bool {
		_, err := jws.Verify(k)
		return err == nil && k.Algorithm == header.Algorithm
	}) {
		t.Errorf("a delivery is signed by %s, which verifies with none of the keys", header.KeyID)
	}
	return header.KeyID, header.Algorithm
}
