package receiver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Check is one thing that was checked about a request, by the name that the
// contract has for it: a header, a claim, or a part of either.
type Check struct {
	Name   string
	OK     bool
	Detail string // a sentence for people. What the other side sent is quoted.

	status int // of a failure that isn't one of authenticity
}

// Check makes every check of a request and returns them all, in the order of
// PROTOCOL.md section 2. Where one fails, those that need what it looked for
// are left out, and the delivery has what could be read: nothing in it is to be
// trusted unless Verdict says that all are OK.
func (v *Verifier) Check(ctx context.Context, r Request) (Delivery, []Check) {
	c := checks{v: v, r: r}
	d := c.body()
	c.digest()
	if token, ok := c.bearer(); ok {
		c.token(ctx, token)
		d.Claims = c.claims
		c.replay()
	}
	return d, c.made
}

// checks collects what is found about one request.
type checks struct {
	v      *Verifier
	r      Request
	hash   string // the body's
	claims Claims
	made   []Check
}

func (c *checks) note(name string, ok bool, format string, args ...any) bool {
	c.made = append(c.made, Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
	return ok
}

// same notes whether a value is the one that it must be.
func (c *checks) same(name, got, want, what string) bool {
	if got == want {
		return c.note(name, true, "It is %s.", what)
	}
	return c.note(name, false, "It is %s, not %s, which is %s.", quote(got), quote(want), what)
}

// body checks the five fields, and that the headers say the same.
func (c *checks) body() Delivery {
	d := Delivery{Body: c.r.Body, Header: c.r.Header}
	d.Attempt, _ = strconv.Atoi(c.r.Header.Get("Webhook-Attempt"))
	c.same("method", c.r.Method, http.MethodPost, "how deliveries are made")
	var fields struct {
		Version     *string         `json:"version"`
		WebhookID   *string         `json:"webhookId"`
		CallbackURL *string         `json:"callbackUrl"`
		Event       *string         `json:"event"`
		Payload     json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(c.r.Body, &fields); err != nil {
		c.note("body", false, "It is no JSON object with the five fields: %s.", quote(err.Error()))
		return d
	}
	d.Payload = fields.Payload
	var missing []string
	text := func(name string, p *string) string {
		if p == nil || *p == "" {
			missing = append(missing, name)
			return ""
		}
		return *p
	}
	version := text("version", fields.Version)
	id := text("webhookId", fields.WebhookID)
	d.Event = text("event", fields.Event)
	d.Source = sources[d.Event]
	d.InstanceID = id
	if d.Event == OutcomeEvent { // nobody is asked, so nobody may call back
		d.InstanceID = strings.TrimPrefix(id, outcomePrefix)
	} else {
		d.CallbackURL = text("callbackUrl", fields.CallbackURL)
	}
	if len(fields.Payload) == 0 || fields.Payload[0] != '{' {
		missing = append(missing, "payload")
	}
	if len(missing) > 0 {
		c.note("body", false, "It lacks %s.", strings.Join(missing, ", "))
		return d
	}
	c.note("body", true, "It has the fields of a delivery.")
	if d.Event == OutcomeEvent && (id == d.InstanceID || fields.CallbackURL != nil) {
		c.note("outcome", false, "A pushed outcome's webhookId begins with %s, and it has no callbackUrl.", outcomePrefix)
	}
	c.same("version", version, "v1", "the only version there is")
	c.same("Webhook-Version", c.r.Header.Get("Webhook-Version"), version, "the body's version")
	c.same("Webhook-Id", c.r.Header.Get("Webhook-Id"), id, "the body's webhookId")
	c.same("Webhook-Event", c.r.Header.Get("Webhook-Event"), d.Event, "the body's event")
	c.same("Webhook-Callback-Url", c.r.Header.Get("Webhook-Callback-Url"), d.CallbackURL, "the body's callbackUrl")
	return d
}

// digest checks the header. The claim htb_s256 is what can be trusted.
func (c *checks) digest() {
	sum := sha256.Sum256(c.r.Body)
	c.hash = base64.StdEncoding.EncodeToString(sum[:])
	c.same("Content-Digest", c.r.Header.Get("Content-Digest"), "sha-256="+c.hash, "the body's hash")
}

// bearer returns the JWT. The scheme's name has no case (RFC 9110, section 11.1).
func (c *checks) bearer() (string, bool) {
	values := c.r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", c.note("Authorization", false, "There are %d such headers, where there must be one.", len(values))
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", c.note("Authorization", false, "It has no bearer token.")
	}
	return token, c.note("Authorization", true, "It has a bearer token.")
}

// algorithms are what a key may be for. Which one counts is the key's to say,
// never the token's.
var algorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256}

// token checks the signature and then, whether that was good or not, the
// claims: who looks for the fault wants to see all of it.
func (c *checks) token(ctx context.Context, token string) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		c.note("JWT", false, "It can't be read: %s.", quote(err.Error()))
		return
	}
	header := jws.Signatures[0].Protected
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	c.same("typ", typ, "JWT", "what a delivery's token is")
	if key, ok := c.key(ctx, header.KeyID); ok && c.same("alg", header.Algorithm, key.Algorithm, "the key's algorithm") {
		if _, err := jws.Verify(key.Key); err == nil {
			c.note("signature", true, "It was made with the key.")
		} else {
			c.note("signature", false, "It was not made with the key, or not over this token.")
		}
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &claims); err != nil {
		c.note("claims", false, "They are no JSON object.")
		return
	}
	c.whom(claims)
	c.when(claims)
	c.what(claims)
}

// key finds the key of a kid, when it is one that the contract knows.
func (c *checks) key(ctx context.Context, kid string) (jose.JSONWebKey, bool) {
	if kid == "" {
		return jose.JSONWebKey{}, c.note("kid", false, "The token names no key.")
	}
	key, err := c.v.keys.find(ctx, kid)
	if unavailable, ok := err.(*keysUnavailableError); ok {
		c.made = append(c.made, Check{Name: "kid", Detail: fmt.Sprintf("The server's keys can't be had: %s.", quote(unavailable.Error())), status: http.StatusServiceUnavailable})
		return key, false
	}
	if err != nil {
		return key, c.note("kid", false, "%s is no key of %s: %v.", quote(kid), c.v.keys, err)
	}
	return key, c.note("kid", true, "It is a key of %s.", c.v.keys)
}

// whom checks who sent it and for whom.
func (c *checks) whom(claims map[string]json.RawMessage) {
	if iss, ok := c.text(claims, "iss"); ok {
		c.claims.Issuer = iss
		if c.v.issuer == "" {
			c.note("iss", iss != "", "It is %s; any is taken.", quote(iss))
		} else {
			c.same("iss", iss, c.v.issuer, "the issuer")
		}
	}
	if aud, ok := c.text(claims, "aud"); ok {
		c.claims.Audience = aud
		want := strings.TrimSuffix(strings.ToLower(c.v.receiver.Hostname()), ".")
		c.same("aud", aud, want, "the receiver's host")
	}
	if typ, ok := c.text(claims, "c1typ"); ok {
		c.claims.Type = typ
		c.same("c1typ", typ, "wh", "the mark of a webhook's token")
	}
	if jti, ok := c.text(claims, "jti"); ok {
		c.claims.ID = jti
		c.note("jti", len(jti) >= 16, "It has %d characters, and must have 16 or more.", len(jti))
	}
}

// when checks the token's life.
func (c *checks) when(claims map[string]json.RawMessage) {
	now, leeway := c.r.At, c.v.leeway
	iat, haveIAT := c.time(claims, "iat")
	nbf, haveNBF := c.time(claims, "nbf")
	exp, haveEXP := c.time(claims, "exp")
	c.claims.IssuedAt, c.claims.NotBefore, c.claims.Expiry = iat, nbf, exp
	if !haveIAT || !haveNBF || !haveEXP {
		return
	}
	c.note("iat", !iat.Before(nbf) && !iat.After(exp), "It was issued at %s, which must be within its life from %s to %s.", clock(iat), clock(nbf), clock(exp))
	c.note("nbf", !now.Add(leeway).Before(nbf), "It counts from %s, and came at %s by this clock.", clock(nbf), clock(now))
	c.note("exp", !now.Add(-leeway).After(exp), "It counts until %s, and came at %s by this clock.", clock(exp), clock(now))
}

// what checks that the token is about this very request.
func (c *checks) what(claims map[string]json.RawMessage) {
	if htm, ok := c.text(claims, "htm"); ok {
		c.claims.Method = htm
		c.same("htm", htm, http.MethodPost, "the method")
	}
	if htu, ok := c.text(claims, "htu"); ok {
		c.claims.URL = htu
		want := c.v.urlOf(c.r)
		if got, err := url.Parse(htu); err == nil && sameURL(got, want) {
			c.note("htu", true, "It is the receiver's URL.")
		} else {
			c.note("htu", false, "It is %s, not %s, which is the receiver's URL.", quote(htu), quote(want.String()))
		}
	}
	if hash, ok := c.text(claims, "htb_s256"); ok {
		c.claims.BodyHash = hash
		c.same("htb_s256", hash, c.hash, "the body's hash")
	}
}

// urlOf is the URL that the sender must have had for the request.
func (v *Verifier) urlOf(r Request) *url.URL {
	u := *v.receiver
	if u.Path != "" && u.Path != "/" {
		return &u
	}
	path, _, _ := strings.Cut(r.Path, "?")
	if unescaped, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = unescaped, path
	}
	return &u
}

// sameURL knows that a host has no case, that a default port may be left out,
// and that a URL without a path is requested with the path /.
func sameURL(a, b *url.URL) bool {
	form := func(u *url.URL) string {
		host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return u.Scheme + " " + host + " " + port + " /" + strings.TrimPrefix(u.EscapedPath(), "/")
	}
	return form(a) == form(b) && a.User == nil && a.RawQuery == "" && a.Fragment == ""
}

// replay takes the token's id, once nothing else is against it: what was
// refused may be tried again.
func (c *checks) replay() {
	if c.v.seen == nil || Verdict(c.made) != nil {
		return
	}
	fresh := c.v.seen.add(c.claims.Issuer+" "+c.claims.ID, c.claims.Expiry.Add(c.v.leeway), c.r.At)
	if fresh {
		c.note("replay", true, "This token was not seen before.")
	} else {
		c.note("replay", false, "This token was seen before: the request is a copy of one, and no attempt of the sender's.")
	}
}

// text takes a claim that is a string, and notes one that isn't.
func (c *checks) text(claims map[string]json.RawMessage, name string) (string, bool) {
	raw, there := claims[name]
	if !there {
		return "", c.note(name, false, "The token lacks it.")
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", c.note(name, false, "It is %s, not a string.", quote(string(raw)))
	}
	return *s, true
}

// time takes a claim that is a NumericDate (RFC 7519, section 2), and notes
// one that isn't.
func (c *checks) time(claims map[string]json.RawMessage, name string) (time.Time, bool) {
	raw, there := claims[name]
	if !there {
		return time.Time{}, c.note(name, false, "The token lacks it.")
	}
	var seconds *float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil || *seconds < 0 || *seconds > 1e11 {
		return time.Time{}, c.note(name, false, "It is %s, not a time in Unix seconds.", quote(string(raw)))
	}
	whole, fraction := math.Modf(*seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC on 2 January 2006") }

// maxQuoted bounds, in characters, how much a detail repeats of what came.
const maxQuoted = 200

// quote shows what came from outside so that it can't act on a terminal.
func quote(s string) string {
	if runes := []rune(s); len(runes) > maxQuoted {
		s = string(runes[:maxQuoted]) + "…"
	}
	return strconv.Quote(s)
}
