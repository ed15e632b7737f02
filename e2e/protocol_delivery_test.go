package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
	"github.com/riposte-dev/riposte/server"
)

// oneDelivery is the first attempt of an approval, with what it should be.
type oneDelivery struct {
	ripostetest.Delivery
	server      *ripostetest.Server
	id          string
	destination string // with a query
	htu         string
	keys        jose.JSONWebKeySet
	before      time.Time
	after       time.Time
}

func deliverOnce(t *testing.T) oneDelivery {
	t.Helper()
	s := ripostetest.Start(t, func(c *server.Config) {
		c.PublicURL = "https://Riposte.example:8443/base/"
	})
	r := newReceiver(t, always(ripostetest.Reply{Body: approve}))
	o := oneDelivery{server: s, htu: r.URL + "/a%20hook", before: time.Now().Truncate(time.Second)}
	o.destination = o.htu + "?tenant=1&x=%2F"
	o.id = create(t, s, &ripostev1.InstancesServiceCreateRequest{
		WebhookId: newWebhook(t, s, o.destination), Source: sourceApprovalStep, Payload: []byte(`{"taskView":{}}`),
	}).GetWebhookInstance().GetId()
	o.Delivery = delivered(t, r, o.id, 1)
	o.after = time.Now()
	keys, err := ripostetest.FetchKeys(s.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	o.keys = keys
	return o
}

func (o oneDelivery) digest() string {
	sum := sha256.Sum256(o.Body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// token is the JWT, checked by the stock library against the key set.
func (o oneDelivery) token(t *testing.T) (jose.Header, object) {
	t.Helper()
	raw, _ := strings.CutPrefix(o.Header.Get("Authorization"), "bearer ")
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatalf("parsing the JWT %q: %v", raw, err)
	}
	payload, err := jws.Verify(o.keys)
	if err != nil {
		t.Fatalf("verifying the JWT: %v", err)
	}
	return jws.Signatures[0].Protected, decode(t, payload)
}

const idPattern = `^[0-9a-v]{24}$`

func TestDelivery(t *testing.T) {
	t.Parallel()
	o := deliverOnce(t)
	const event = "c1.webhooks.v1.PayloadPolicyApprovalStep"

	t.Run("POST", func(t *testing.T) {
		if o.Method != http.MethodPost || o.Path != "/a hook" {
			t.Errorf("request is %s %s", o.Method, o.Path)
		}
	})

	for name, check := range map[string]func(string) bool{
		"Authorization":        regexp.MustCompile(`^bearer [\w-]+\.[\w-]+\.[\w-]+$`).MatchString,
		"Content-Type":         func(v string) bool { return v == "application/json" },
		"Content-Digest":       func(v string) bool { return v == "sha-256="+o.digest() },
		"Webhook-Version":      func(v string) bool { return v == "v1" },
		"Webhook-Id":           func(v string) bool { return v == o.id && regexp.MustCompile(idPattern).MatchString(v) },
		"Webhook-Event":        func(v string) bool { return v == event },
		"Webhook-Callback-Url": func(v string) bool { return v == o.Envelope.CallbackURL },
		"Webhook-Timestamp": func(v string) bool {
			return v >= fmt.Sprint(o.before.Unix()) && v <= fmt.Sprint(o.after.Unix())
		},
		"Webhook-Attempt": func(v string) bool { return v == "1" },
	} {
		t.Run("header/"+name, func(t *testing.T) {
			if values := o.Header.Values(name); len(values) != 1 || !check(values[0]) {
				t.Errorf("%s is %q", name, values)
			}
		})
	}

	header, claims := o.token(t)
	t.Run("JWT/header alg, typ, kid", func(t *testing.T) {
		if header.Algorithm != "EdDSA" || header.ExtraHeaders[jose.HeaderType] != "JWT" || header.KeyID == "" {
			t.Errorf("header is %+v", header)
		}
		if n := len(o.keys.Key(header.KeyID)); n != 1 {
			t.Errorf("the JWKS has %d keys of the kid %q", n, header.KeyID)
		}
	})

	iat := number(t, claims["iat"])
	for name, want := range map[string]any{
		"aud":      "127.0.0.1",
		"c1typ":    "wh",
		"nbf":      json.Number(fmt.Sprint(iat - 60)),
		"exp":      json.Number(fmt.Sprint(iat + 120)),
		"htm":      "POST",
		"htu":      o.htu,
		"htb_s256": o.digest(),
		"iss":      "Riposte.example",
	} {
		t.Run("claim/"+name, func(t *testing.T) {
			if claims[name] != want {
				t.Errorf("%s is %#v, want %#v", name, claims[name], want)
			}
		})
	}
	t.Run("claim/iat", func(t *testing.T) {
		if iat < o.before.Unix() || iat > o.after.Unix() {
			t.Errorf("iat is %d, the delivery was from %d to %d", iat, o.before.Unix(), o.after.Unix())
		}
	})
	t.Run("claim/jti", func(t *testing.T) {
		if len(part[string](t, claims, "jti")) < 16 {
			t.Errorf("jti is %q, want 16 characters or more", claims["jti"])
		}
	})
	t.Run("claim/exactly these ten", func(t *testing.T) {
		want := []string{"aud", "c1typ", "exp", "htb_s256", "htm", "htu", "iat", "iss", "jti", "nbf"}
		if got := slices.Sorted(maps.Keys(claims)); !slices.Equal(got, want) {
			t.Errorf("claims are %q, want %q", got, want)
		}
	})

	t.Run("body/exactly the five fields", func(t *testing.T) {
		want := `{"version":"v1","webhookId":"` + o.id + `","callbackUrl":"` + o.Header.Get("Webhook-Callback-Url") +
			`","event":"` + event + `","payload":{"@type":"type.googleapis.com/` + event + `","taskView":{}}}`
		if string(o.Body) != want {
			t.Errorf("body is\n%s\nwant\n%s", o.Body, want)
		}
	})
	t.Run("body/callbackUrl is below the public URL", func(t *testing.T) {
		if !strings.HasPrefix(o.Envelope.CallbackURL, "https://Riposte.example:8443/base/api/v1/webhooks/callback/") {
			t.Errorf("callbackUrl is %q", o.Envelope.CallbackURL)
		}
	})
	t.Run("no content decoding", func(t *testing.T) {
		if values := o.Header.Values("Accept-Encoding"); len(values) != 0 {
			t.Errorf("Accept-Encoding is %q, want none", values)
		}
	})
}

func number(t *testing.T, v any) int64 {
	t.Helper()
	n, ok := v.(json.Number)
	if !ok {
		t.Fatalf("%#v is no number", v)
	}
	i, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestDeliverySource has the table of sources: the event, the payload, and the
// answer each takes. TestResponseDocument has the answers it does not take.
func TestDeliverySource(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()

	// Order, precision, escapes and white space are the caller's.
	const written = `{"z":1, "a":12345678901234567890,"f":1.10,"e":1E+2,"s":"\u00e9<&>\/é","o":{"b":[ 1 ,2],"a":null}}`
	inner := written[1 : len(written)-1]
	payloads := map[string]struct{ caller, want string }{
		"test":             {``, ``},
		"approvalStep":     {written, `,` + inner},
		"provisionStep":    {written, `,` + inner},
		"policyPostAction": {written, `,` + inner},
		"workflowStep": {`{"workflowId":"w","context":` + written + `}`,
			`,"workflowExecutionId":"9007199254740993","workflowExecutionStepId":"step-4","workflowId":"w","context":` + written},
	}
	for _, source := range sources {
		payload := payloads[source.name]
		t.Run(source.name+"/event and payload", func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, always(ripostetest.Reply{Body: source.document}))
			body := `{"source":` + source.json + `}`
			if payload.caller != "" {
				body = `{"source":` + source.json + `,"payload":` + payload.caller + `}`
			}
			i := rest(t, s, http.MethodPost, "/api/v1/webhooks/"+newWebhook(t, s, r.URL)+"/instances", body).ok(t)
			id := part[string](t, i, "instance", "webhookInstance", "id")
			d := delivered(t, r, id, 1)
			if d.Envelope.Event != source.event || d.Header.Get("Webhook-Event") != source.event {
				t.Errorf("event is %q, and Webhook-Event %q, want %q", d.Envelope.Event, d.Header.Get("Webhook-Event"), source.event)
			}
			if got, want := string(d.Envelope.Payload), `{"@type":"type.googleapis.com/`+source.event+`"`+payload.want+`}`; got != want {
				t.Errorf("payload is\n%s\nwant\n%s", got, want)
			}
		})
		t.Run(source.name+"/answer it takes at once", func(t *testing.T) {
			t.Parallel()
			id := askAt(t, s, newReceiver(t, always(ripostetest.Reply{Body: source.document})), source.message)
			wantAnswer(t, closed(t, s, id), source.kind, "SYNC", source.document)
		})
		t.Run(source.name+"/answer it takes by callback", func(t *testing.T) {
			t.Parallel()
			id := askAt(t, s, newReceiver(t, always(ripostetest.Reply{Status: 202, Callback: source.document})), source.message)
			wantAnswer(t, closed(t, s, id), source.kind, "CALLBACK", source.document)
		})
	}

	for _, name := range []string{"test", "policyPostAction"} {
		for _, reply := range []ripostetest.Reply{{Status: 200}, {Status: 200, Body: "OK!"}, {Status: 204}, {Status: 299, Body: `{"version":"v2"`}} {
			t.Run(fmt.Sprintf("%s/any 2xx but 202 is SUCCESS, whatever the body/%d %s", name, reply.Status, reply.Body), func(t *testing.T) {
				t.Parallel()
				id := askAt(t, s, newReceiver(t, always(reply)), sourceNamed(name).message)
				wantAnswer(t, closed(t, s, id), "DELIVERED", "SYNC", "")
			})
		}
	}
	t.Run("test/WebhooksService.Test asks it", func(t *testing.T) {
		t.Parallel()
		r := newReceiver(t, always(ripostetest.Reply{Status: 204}))
		res := rest(t, s, http.MethodPost, "/api/v1/webhooks/"+newWebhook(t, s, r.URL)+"/test", "").ok(t)
		d := delivered(t, r, part[string](t, res, "webhook", "id"), 1)
		if got, want := string(d.Envelope.Payload), `{"@type":"type.googleapis.com/c1.webhooks.v1.PayloadTest"}`; got != want {
			t.Errorf("payload is %s, want %s", got, want)
		}
	})
}

// TestPayloadRefused: what could not reach the receiver as it was written, or
// what would hide the server's own members, is 400.
func TestPayloadRefused(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	r := newReceiver(t, always(ripostetest.Reply{}))
	path := "/api/v1/webhooks/" + newWebhook(t, s, r.URL) + "/instances"
	for _, tt := range []struct{ name, source, payload string }{
		{"@type of its own", "approvalStep", `{"a":1,"@type":"x"}`},
		{"@type of its own, escaped", "provisionStep", `{"\u0040type":"x"}`},
		{"workflowExecutionId", "workflowStep", `{"workflowExecutionId":"1"}`},
		{"workflowExecutionStepId", "workflowStep", `{"workflowExecutionStepId":"1"}`},
		{"something for test, whose payload is empty", "test", `{"a":1}`},
		{"no object: array", "approvalStep", `[1]`},
		{"no object: string", "approvalStep", `"x"`},
		{"duplicate key", "approvalStep", `{"a":{"b":1,"b":2}}`},
		{"invalid UTF-8", "approvalStep", "{\"a\":\"\xff\"}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := `{"source":` + sourceNamed(tt.source).json + `,"payload":` + tt.payload + `}`
			rest(t, s, http.MethodPost, path, body).refused(t, 400, "INVALID_ARGUMENT").wantField(t, "payload")
		})
	}
	t.Run("workflow names are free elsewhere", func(t *testing.T) {
		t.Parallel()
		body := `{"source":` + sourceNamed("approvalStep").json + `,"payload":{"workflowExecutionId":"1"}}`
		rest(t, s, http.MethodPost, path, body).ok(t)
	})
	t.Run("null is absent", func(t *testing.T) {
		t.Parallel()
		rest(t, s, http.MethodPost, path, `{"source":`+sourceNamed("approvalStep").json+`,"payload":null}`).ok(t)
	})
}

// TestEveryAttempt says what stays and what changes from one attempt to the next.
func TestEveryAttempt(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	failing := ripostetest.Reply{Status: 500}
	r := newReceiver(t, inTurn(failing, failing, failing, ripostetest.Reply{Body: approve}))
	id := askAt(t, s, r, sourceApprovalStep)
	wantAttempts(t, closed(t, s, id), 4)
	keys, err := ripostetest.FetchKeys(s.BaseURL())
	if err != nil {
		t.Fatal(err)
	}

	all := r.Deliveries(id)
	if len(all) != 4 {
		t.Fatalf("there were %d attempts, want 4", len(all))
	}
	seen := map[string]bool{}
	for n, d := range all {
		claims, err := ripostetest.Verify(d, keys, r.URL)
		if err != nil {
			t.Errorf("attempt %d: %v", n+1, err)
		}
		if seen[claims.ID] {
			t.Errorf("attempt %d has the jti of an earlier one", n+1)
		}
		seen[claims.ID] = true
		if got, want := d.Header.Get("Webhook-Attempt"), fmt.Sprint(n+1); got != want {
			t.Errorf("Webhook-Attempt is %s, want %s", got, want)
		}
		if diff := cmp.Diff(string(all[0].Body), string(d.Body)); diff != "" {
			t.Errorf("attempt %d has another body (-first +this):\n%s", n+1, diff)
		}
		for _, name := range []string{"Webhook-Id", "Webhook-Callback-Url", "Content-Digest"} {
			if d.Header.Get(name) != all[0].Header.Get(name) {
				t.Errorf("attempt %d has another %s", n+1, name)
			}
		}
	}
}

// TestJWKS checks the key set's own row.
func TestJWKS(t *testing.T) {
	s := atOnce.use(t)
	t.Parallel()
	set := send(t, http.MethodGet, s.BaseURL()+"/auth/v1/jwks", "", nil).ok(t)
	keys := part[[]any](t, set, "keys")
	if len(keys) == 0 {
		t.Fatalf("the key set is %v", set)
	}
	for _, k := range keys {
		k := part[object](t, k)
		for name, want := range map[string]string{"use": "sig", "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519"} {
			if k[name] != want {
				t.Errorf("%s is %v, want %s", name, k[name], want)
			}
		}
		if part[string](t, k, "kid") == "" {
			t.Error("a key has no kid")
		}
		if k["d"] != nil {
			t.Error("the private key is in the key set")
		}
	}
}

func TestIssuer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, publicURL, issuer, want string
	}{
		{"--issuer", "https://public.example", "issuer.example", "issuer.example"},
		{"the public URL's host without port", "https://public.example:444", "", "public.example"},
		{"an IPv6 host", "http://[2001:db8::1]:8080", "", "2001:db8::1"},
		{"--listen's host by default", "", "", "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := ripostetest.Start(t, func(c *server.Config) { c.PublicURL, c.Issuer = tt.publicURL, tt.issuer })
			r := newReceiver(t, always(ripostetest.Reply{Body: approve}))
			d := delivered(t, r, askAt(t, s, r, sourceApprovalStep), 1)
			keys, err := ripostetest.FetchKeys(s.BaseURL())
			if err != nil {
				t.Fatal(err)
			}
			claims, err := ripostetest.Verify(d, keys, r.URL)
			if err != nil || claims.Issuer != tt.want {
				t.Errorf("iss is %q (%v), want %q", claims.Issuer, err, tt.want)
			}
		})
	}
	for _, listen := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		t.Run("wildcard "+listen+" without --public-url refuses to start", func(t *testing.T) {
			t.Parallel()
			c := server.Default()
			c.Listen, c.Data = listen, t.TempDir()
			if _, err := server.Open(t.Context(), c); err == nil {
				t.Error("it started")
			}
		})
	}
}
