package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	c1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// canaryMethod is an operation of the API.
type canaryMethod struct {
	protoreflect.MethodDescriptor
	procedure  string
	verb, path string // REST's
}

// canaryMethods are all of them, also those that are not written yet.
func canaryMethods() []canaryMethod {
	var all []canaryMethod
	ours := []protoreflect.FullName{c1.File_c1_api_webhooks_v1_webhooks_proto.Package(), ripostev1.File_riposte_v1_keys_proto.Package()}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for n := range f.Services().Len() {
			for m := range f.Services().Get(n).Methods().Len() {
				if slices.Contains(ours, f.Package()) {
					all = append(all, newCanaryMethod(f.Services().Get(n).Methods().Get(m)))
				}
			}
		}
		return true
	})
	return all
}

func newCanaryMethod(d protoreflect.MethodDescriptor) canaryMethod {
	m := canaryMethod{MethodDescriptor: d, procedure: "/" + string(d.Parent().FullName()) + "/" + string(d.Name())}
	rule := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	for verb, path := range map[string]string{
		http.MethodGet: rule.GetGet(), http.MethodPost: rule.GetPost(), http.MethodPatch: rule.GetPatch(), http.MethodDelete: rule.GetDelete(),
	} {
		if path != "" {
			m.verb, m.path = verb, path
		}
	}
	return m
}

// canaryField is a field of a request or of what is in it, and the way there.
type canaryField struct {
	protoreflect.FieldDescriptor
	way []protoreflect.FieldDescriptor
}

const canaryDepth = 4

func canaryFields(m protoreflect.MessageDescriptor, way ...protoreflect.FieldDescriptor) []canaryField {
	var all []canaryField
	for n := range m.Fields().Len() {
		f := m.Fields().Get(n)
		to := append(slices.Clone(way), f)
		all = append(all, canaryField{f, to})
		if f.Message() != nil && !f.IsMap() && len(to) < canaryDepth {
			all = append(all, canaryFields(f.Message(), to...)...)
		}
	}
	return all
}

// document has a value at the field and nothing else.
func (f canaryField) document(value string) string {
	for n, step := range slices.Backward(f.way) {
		if step.IsMap() {
			value = `{"x":` + value + `}`
		}
		if step.IsList() && (n < len(f.way)-1 || step.Message() == nil) {
			value = "[" + value + "]"
		}
		value = `{"` + step.JSONName() + `":` + value + `}`
	}
	return value
}

func (f canaryField) name() string {
	var names []string
	for _, step := range f.way {
		names = append(names, step.JSONName())
	}
	return strings.Join(names, ".")
}

// isName reports whether what is put there may be what its caller names something, and
// so stay and be shown. Nobody takes what is in a field for secrets for that.
func (f canaryField) isName() bool {
	forSecrets := slices.Contains([]protoreflect.Name{"secret", "value", "private_key_pem"}, f.Name())
	return f.Kind() == protoreflect.StringKind && !forSecrets || f.Kind() == protoreflect.BytesKind
}

// walkOperations calls each operation with a secret in each of its fields, in requests
// that can't be read, and as those who may not.
func (s *canaryServer) walkOperations() {
	s.t.Helper()
	conn, err := grpc.NewClient(s.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	misplaced, malformed := canaryQuote(s.misplaced), canaryQuote(s.malformed)
	for _, m := range canaryMethods() {
		for _, f := range canaryFields(m.Input()) {
			value := malformed
			if f.isName() {
				value = misplaced
			}
			s.call(m, bearer(s.apiKey), f.document(value))
			s.callAddress(m, f, value)
			s.call(m, bearer("riposte_nobody"), f.document(malformed))
			s.callGRPC(conn, m, s.apiKey, f.document(value))
			if m.writes() {
				s.call(m, bearer(s.keys["viewer"]), f.document(malformed))
				s.callGRPC(conn, m, s.keys["viewer"], f.document(malformed))
			}
		}
		for _, body := range canaryMalformed(s.malformed) {
			s.call(m, bearer(s.apiKey), body)
		}
		for _, header := range s.badCredentials() {
			s.call(m, header, `{}`)
		}
		s.answered(http.MethodPost, m.procedure, "\x0a\xff"+s.malformed, http.Header{"Authorization": {"Bearer " + s.apiKey}, "Content-Type": {"application/proto"}})
		s.answered(http.MethodPost, m.procedure, s.malformed, http.Header{"Authorization": {"Bearer " + s.apiKey}, "Content-Type": {"application/" + s.malformed}})
		s.answered(http.MethodPost, m.procedure, s.malformed, http.Header{"Authorization": {"Bearer " + s.apiKey}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}})
		s.callGRPC(conn, m, s.apiKey, `{}`)
	}
}

// writes reports whether a viewer may not call it.
func (m canaryMethod) writes() bool {
	for _, read := range []string{"Get", "List", "Search", "Count", "Wait", "Watch", "Current", "Verify"} {
		if strings.HasPrefix(string(m.Name()), read) {
			return false
		}
	}
	return true
}

func canaryQuote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// canaryMalformed are bodies with a secret that can't be read.
func canaryMalformed(secret string) []string {
	quoted := canaryQuote(secret)
	return []string{
		secret, quoted, `[` + quoted + `]`, `{"secret":` + secret + `}`, `{"secret":` + quoted, `{"secret":` + quoted[:len(quoted)-2], `{"secret":` + quoted + `}` + quoted,
		`{"settings":{"headers":{"list":[{"name":"x","value":` + quoted + `}],` + secret + `}}}`, `{"secret":` + quoted + `,"secret":` + quoted + `,}`,
		`{"secret":"` + secret + "\xff\"}", `{"noSuchField":` + quoted + `}`, `{"webhook":{"secret":` + quoted + `},"settings":{"secret":` + quoted + `}}`,
		`{"secret":{"value":` + quoted + `}}`, `{"secret":"` + strings.Repeat(strings.Trim(quoted, `"`), (3<<20)/len(quoted)) + `"}`,
	}
}

// badCredentials have real keys and tokens in the wrong place.
func (s *canaryServer) badCredentials() []http.Header {
	j := []string{"application/json"}
	return []http.Header{
		{"Authorization": {"Basic " + s.apiKey}, "Content-Type": j}, {"Authorization": {s.apiKey}, "Content-Type": j}, {"X-Api-Key": {s.apiKey}, "Content-Type": j},
		{"Authorization": {"Bearer " + s.apiKey + "x"}, "Content-Type": j}, {"Authorization": {"Bearer " + s.token[:len(s.token)-3]}, "Content-Type": j},
		{"Authorization": {"Bearer " + s.secret}, "Content-Type": j}, {"Cookie": {"riposte_session=" + s.apiKey}, "Content-Type": j},
		{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(s.client.GetClientId()+":"+s.secret))}, "Content-Type": j},
	}
}

// call makes a call by Connect and by REST, with the document in the body.
func (s *canaryServer) call(m canaryMethod, header http.Header, document string) {
	s.t.Helper()
	if m.IsStreamingServer() {
		s.stream(m, header, document)
	} else {
		s.answered(http.MethodPost, m.procedure, document, header)
	}
	if m.verb != http.MethodGet {
		s.answered(m.verb, s.filled(m.path, ""), document, header)
	}
}

var canaryVariable = regexp.MustCompile(`\{[^}]*\}`)

// filled is a path with its variables, by default those of what is there.
func (s *canaryServer) filled(path, value string) string {
	return canaryVariable.ReplaceAllStringFunc(path, func(variable string) string {
		if value == "" && variable == "{webhook_id}" && strings.Contains(path, "/settings") {
			return s.webhook
		}
		if value == "" {
			return "none"
		}
		return value
	})
}

// callAddress makes a call by REST with a value in the address: the query, and the path.
func (s *canaryServer) callAddress(m canaryMethod, f canaryField, quoted string) {
	s.t.Helper()
	var value string
	if err := json.Unmarshal([]byte(quoted), &value); err != nil {
		s.t.Fatal(err)
	}
	if m.verb == http.MethodGet {
		s.briefly(s.filled(m.path, "") + "?" + f.name() + "=" + url.QueryEscape(value))
	}
	s.briefly(s.filled(m.path, url.PathEscape(s.malformed)))
	s.briefly(s.filled(m.path, "") + "?api_key=" + url.QueryEscape(s.malformed))
}

// briefly is answered for a GET that may go on for ever.
func (s *canaryServer) briefly(path string) {
	s.t.Helper()
	s.read(http.MethodGet, path, "", bearer(s.apiKey))
}

// stream begins a stream by Connect.
func (s *canaryServer) stream(m canaryMethod, header http.Header, document string) {
	s.t.Helper()
	header = header.Clone()
	header.Set("Content-Type", "application/connect+json")
	frame := append([]byte{0, byte(len(document) >> 24), byte(len(document) >> 16), byte(len(document) >> 8), byte(len(document))}, document...)
	s.read(http.MethodPost, m.procedure, string(frame), header)
}

// canaryStream is how much is read of a stream: whatever is wrong with a request comes
// at once, so who waits for more has been let in.
const canaryStream = 200 * time.Millisecond

func (s *canaryServer) read(method, path, body string, header http.Header) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), canaryStream)
	defer cancel()
	_, place, _ := s.do(ctx, method, path, body, header) // which may have ended half way
	s.places = append(s.places, place)
}

// callGRPC leaves out documents that no client could send.
func (s *canaryServer) callGRPC(conn *grpc.ClientConn, m canaryMethod, key, document string) {
	s.t.Helper()
	req := canaryMessage(s, m.Input())
	if err := protojson.Unmarshal([]byte(document), req); err != nil || m.IsStreamingServer() {
		return
	}
	res := canaryMessage(s, m.Output())
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(s.t.Context(), "authorization", "Bearer "+key), canaryStream*10)
	defer cancel()
	var header, trailer metadata.MD
	err := conn.Invoke(ctx, m.procedure, req, res, grpc.Header(&header), grpc.Trailer(&trailer))
	var text bytes.Buffer
	fmt.Fprintln(&text, err, header, trailer, status.Convert(err).Details(), protojson.Format(res))
	s.saw("the answer by gRPC of "+m.procedure, text.Bytes(), "what is misplaced")
}

func canaryMessage(s *canaryServer, d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		s.t.Fatal(err)
	}
	return t.New().Interface()
}

// walkTokens asks for access tokens in ways that are refused.
func (s *canaryServer) walkTokens() {
	s.t.Helper()
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	id := s.client.GetClientId()
	grant := func(pairs ...string) string {
		v := url.Values{"grant_type": {"client_credentials"}}
		for n := 0; n < len(pairs); n += 2 {
			v.Add(pairs[n], pairs[n+1])
		}
		return v.Encode()
	}
	replayed := s.assertion("a replayed assertion", time.Minute)
	s.takeToken("another access token by assertion", replayed)
	for _, body := range []string{
		grant("client_id", "nobody@127.0.0.1/pcc", "client_secret", s.secret), grant("client_id", id, "client_secret", s.secret+"x"),
		grant("client_id", id, "client_secret", strings.TrimPrefix(s.secret, "secret-token:")), grant("client_id", s.secret, "client_secret", s.secret),
		grant("client_id", id, "client_secret", s.secret, "client_secret", s.secret), grant("client_secret", s.secret),
		grant("client_id", id, "client_secret", s.malformed), grant("client_id", s.malformed, "client_secret", s.secret),
		grant("client_id", id, "client_secret", s.secret, "client_assertion", s.malformed), grant("client_assertion", s.malformed),
		grant("client_assertion_type", s.malformed, "client_assertion", replayed.Get("client_assertion")), replayed.Encode(),
		s.assertion("an assertion that is too long", time.Hour).Encode(), s.assertion("an assertion that has ended", -time.Hour).Encode(),
		"grant_type=" + url.QueryEscape(s.malformed), "client_secret=" + s.secret + "&%zz", "client_secret=" + strings.Repeat(s.secret, 200),
		`{"client_secret":"` + s.secret + `"}`,
	} {
		s.answered(http.MethodPost, "/auth/v1/token", body, form)
	}
	for _, header := range s.badCredentials() {
		header.Set("Content-Type", form.Get("Content-Type"))
		if !strings.HasPrefix(header.Get("Authorization"), "Basic "+base64.StdEncoding.EncodeToString([]byte(id))[:12]) {
			s.answered(http.MethodPost, "/auth/v1/token", grant(), header)
		}
	}
	s.answered(http.MethodPost, "/auth/v1/token?"+grant("client_id", id, "client_secret", s.secret), "", form)
	s.answered(http.MethodGet, "/auth/v1/token?"+grant("client_id", id, "client_secret", s.secret), "", nil)
	s.answered(http.MethodPost, "/auth/v1/token", grant("client_id", id, "client_secret", s.secret), bearer(s.apiKey))
	s.answered(http.MethodPost, "/auth/v1/token", grant("client_id", id, "client_secret", s.secret), http.Header{"Content-Type": {s.malformed}})
}

// walkDoors goes to addresses that nobody has, with secrets in them. The console sends on
// to its sign-in, with the address for afterwards, and so with what is in it.
func (s *canaryServer) walkDoors() {
	s.t.Helper()
	secrets := []string{s.malformed, s.apiKey, s.secret, s.token}
	for _, secret := range secrets {
		for _, path := range []string{"/", "/api/v1/", "/api/v1/webhooks/", "/api/v1/webhooks/callback/", "/api/v1/instances/", "/riposte.v1.KeysService/", "/riposte.v1.", "/debug/pprof/", "/static/"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
				s.answered(method, path+url.PathEscape(secret), "", nil)
				s.answered(method, path+url.PathEscape(secret), "", bearer(s.keys["viewer"]))
			}
			s.briefly(path + "?token=" + url.QueryEscape(secret))
		}
	}
	for _, path := range []string{"/keys/", "/instances/", "/webhooks/", "/instances?filter=", "/keys?token="} {
		s.answered(http.MethodGet, path+url.QueryEscape(s.misplaced), "", nil)
	}
	for _, path := range []string{"/openapi.json", "/auth/v1/jwks", "/healthz", "/readyz"} {
		s.answered(http.MethodGet, path, "", nil)
	}
}
