package outbound

import (
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte"
)

func BenchmarkSign(b *testing.B) {
	s := newSigner(b)
	c := Claims{Audience: "receiver.example", C1Type: "wh", URL: "https://receiver.example/hook", Method: "POST", ID: "0123456789abcdef"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign(c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEd25519 is what of BenchmarkSign is the signature itself.
func BenchmarkEd25519(b *testing.B) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 512)
	for b.Loop() {
		ed25519.Sign(private, message)
	}
}

func BenchmarkCheck(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Destinations{}).Check("https://receiver.example/hook?a=b"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	for name, size := range map[string]int{"small": 10, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			c, attempt := newClient(b, nil), sized("https://receiver.example/hook", size)
			t, m := must(c.destinations.target(attempt.Instance.Destination)), must(c.message(attempt))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.request(b.Context(), t, m, sentAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sized is an attempt with a payload of about size bytes.
func sized(destination string, size int) riposte.ClaimedInstance {
	c := claimed(destination)
	payload := `{"text":"` + strings.Repeat("x", size) + `"}`
	c.Envelope = riposte.NewEnvelope(c.Instance.ID, c.Envelope.CallbackURL(), c.Instance.Source, []byte(payload))
	return c
}

func answering(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	io.WriteString(w, `{"version":"v1","approve":{}}`)
}

// BenchmarkSend includes the receiver, which runs in the same process.
func BenchmarkSend(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(answering))
	b.Cleanup(s.Close)
	c, attempt := newClient(b, nil), claimed(s.URL)
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Send(b.Context(), attempt); r.Attempt.Error != nil {
			b.Fatal(r.Attempt.Error)
		}
	}
}

func BenchmarkSendParallel(b *testing.B) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(answering))
	s.Config.ErrorLog = silent
	s.StartTLS()
	b.Cleanup(s.Close)
	c := newClient(b, func(o *Options) { o.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs })
	attempt := claimed(s.URL)
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r := c.Send(b.Context(), attempt); r.Attempt.Error != nil {
				b.Error(r.Attempt.Error)
				return
			}
		}
	})
}

// BenchmarkMessage is all that an attempt's request costs: without anything of the
// webhook's, with two headers, and signed by a secret too.
func BenchmarkMessage(b *testing.B) {
	a := sized("https://receiver.example/hook", 10)
	a.Webhook = riposte.Webhook{ID: "w1", Version: 1, URL: a.Instance.Destination}
	for _, with := range []string{"nothing", "headers", "signature"} {
		b.Run(with, func(b *testing.B) {
			switch with {
			case "headers":
				a.Webhook.Settings.Request.Headers = []riposte.Header{plainHeader("X-Api-Key", "s3cret"), plainHeader("X-Team", "red")}
			case "signature":
				rotate(b, &a.Webhook, riposte.SchemeV1, 0, sentAt)
			}
			c := newOpeningClient(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.build(b.Context(), must(c.message(a)), sentAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
