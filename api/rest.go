package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/apijson"
	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// newREST serves the http annotations of the proto files, in process, by
// grpc-gateway (docs/adr/0001-one-handler-set.md says why and what was added).
func newREST(webhooks webhooksService, search searchService, instances instancesService, settings settingsService, consumers consumersService, keys keysService,
	figures statisticsService, verify verificationService, clients clientsService, ownKeys serverKeysService, audit auditService) http.Handler {
	gateway := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler{}),
		runtime.WithErrorHandler(restError),
		runtime.WithRoutingErrorHandler(routingError),
		// C1's clients never override a method, and a form must not become one.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	ctx := context.Background()
	for _, err := range []error{
		webhooksv1.RegisterWebhooksServiceHandlerServer(ctx, gateway, webhooks),
		webhooksv1.RegisterWebhooksSearchHandlerServer(ctx, gateway, search),
		ripostev1.RegisterInstancesServiceHandlerServer(ctx, gateway, gatewayInstances{instances}),
		ripostev1.RegisterWebhookSettingsServiceHandlerServer(ctx, gateway, settings),
		ripostev1.RegisterConsumersServiceHandlerServer(ctx, gateway, consumers),
		ripostev1.RegisterKeysServiceHandlerServer(ctx, gateway, keys),
		ripostev1.RegisterStatisticsServiceHandlerServer(ctx, gateway, figures),
		ripostev1.RegisterVerificationServiceHandlerServer(ctx, gateway, verify),
		ripostev1.RegisterClientsServiceHandlerServer(ctx, gateway, clients),
		ripostev1.RegisterServerKeysServiceHandlerServer(ctx, gateway, ownKeys),
		ripostev1.RegisterAuditServiceHandlerServer(ctx, gateway, audit),
	} {
		if err != nil {
			panic(fmt.Sprintf("api: registering generated routes: %v", err))
		}
	}
	return checkPath(readBody(gateway))
}

// checkPath does what the gateway's routing does not: HEAD is a GET, no id has
// a slash, and GET /instances/{id}:cancel is a wrong method, not an odd id.
func checkPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		if strings.Contains(strings.ToLower(r.URL.RawPath), "%2f") {
			notFound(w, r)
			return
		}
		if strings.Contains(r.URL.Path, ":") {
			if allow := allowedMethods(r.URL.Path); len(allow) > 0 && !slices.Contains(allow, r.Method) {
				methodNotAllowed(w, allow...)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// readBody checks the content type and the size before anything is decoded.
func readBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := bodyLimit(r.URL.Path)
		b, err := readAll(http.MaxBytesReader(w, r.Body, int64(limit)), min(r.ContentLength, int64(limit)))
		if err != nil {
			refuseBody(w, limit, err)
			return
		}
		if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); len(b) > 0 && (err != nil || mediaType != "application/json") {
			writeError(w, connectError(riposte.Invalid(riposte.Violation{Field: "Content-Type", Description: "must be application/json"})))
			return
		}
		next.ServeHTTP(w, forGateway(r, b))
	})
}

// maxExpected bounds how much memory a Content-Length gets before its bytes, and
// expectedTimes how many times as much as has come it gets afterwards.
const (
	maxExpected   = 64 << 10
	expectedTimes = 8
)

// readAll makes room for the whole, which is contentLength bytes or nobody knows how many,
// as soon as enough of it has come. What grows by doubling takes four times its size on
// the way, and a batch is 32 MiB.
func readAll(r io.Reader, contentLength int64) ([]byte, error) {
	// One more, so that the end is seen without another step.
	b := make([]byte, 0, min(max(contentLength, 0), maxExpected)+1)
	for {
		if len(b) == cap(b) {
			room := min(contentLength+1, expectedTimes*int64(len(b)))
			b = slices.Grow(b, max(int(room)-len(b), len(b), bytes.MinRead))
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// forGateway returns r with the body b, and with nothing else of what the
// gateway would make metadata of for a server elsewhere: no operation reads it.
func forGateway(r *http.Request, b []byte) *http.Request {
	bare := *r
	bare.Body = &body{*bytes.NewReader(b), b}
	bare.Host, bare.RemoteAddr, bare.Header = "", "", http.Header{}
	for _, name := range []string{"Grpc-Timeout", "Te"} { // the gateway heeds these two itself
		if values := r.Header[name]; values != nil {
			bare.Header[name] = values
		}
	}
	return &bare
}

// body is a body that was read already: its decoder takes all of it at once.
type body struct {
	bytes.Reader
	all []byte
}

func (*body) Close() error { return nil }

func refuseBody(w http.ResponseWriter, limit int, err error) {
	if e, ok := errors.AsType[*connect.Error](err); ok {
		writeError(w, e)
		return
	}
	v := riposte.Violation{Field: "body", Description: "broke off"}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		v.Description = fmt.Sprintf("must have at most %d bytes", limit)
	}
	writeError(w, connectError(riposte.Invalid(v)))
}

func restError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	writeError(w, asConnectError(err))
}

// routingError answers 405 with Allow where the gateway says 501.
func routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if httpStatus == http.StatusMethodNotAllowed {
		if allow := allowedMethods(r.URL.Path); len(allow) > 0 {
			methodNotAllowed(w, allow...)
			return
		}
	}
	notFound(w, r)
}

// route is one http annotation.
type route struct {
	method string
	path   *regexp.Regexp
	verb   bool // the path ends in one, such as :wait
}

var restRoutes = readRoutes(webhooksv1.File_c1_api_webhooks_v1_webhooks_proto, ripostev1.File_riposte_v1_instances_proto,
	ripostev1.File_riposte_v1_settings_proto, ripostev1.File_riposte_v1_consumers_proto, ripostev1.File_riposte_v1_keys_proto,
	ripostev1.File_riposte_v1_statistics_proto, ripostev1.File_riposte_v1_verification_proto, ripostev1.File_riposte_v1_clients_proto,
	ripostev1.File_riposte_v1_server_keys_proto, ripostev1.File_riposte_v1_audit_proto)

// allowedMethods is what a path takes, sorted; nothing where there is no such
// path. A path with a verb is that verb's alone.
func allowedMethods(path string) []string {
	var allow []string
	verb := false
	for _, r := range restRoutes {
		if !r.path.MatchString(path) || verb && !r.verb {
			continue
		}
		if r.verb && !verb {
			allow, verb = nil, true
		}
		allow = append(allow, r.method)
		if r.method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	return slices.Compact(allow)
}

func readRoutes(files ...protoreflect.FileDescriptor) []route {
	var routes []route
	for _, f := range files {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				for _, each := range append(rule.GetAdditionalBindings(), rule) {
					routes = append(routes, readRoute(each))
				}
			}
		}
	}
	return routes
}

var pathVariable = regexp.MustCompile(`\\{[^}]*\\}`)

func readRoute(rule *annotations.HttpRule) route {
	var r route
	var path string
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		r.method, path = http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		r.method, path = http.MethodPost, p.Post
	case *annotations.HttpRule_Patch:
		r.method, path = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		r.method, path = http.MethodDelete, p.Delete
	}
	r.path = regexp.MustCompile("^" + pathVariable.ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`) + "$")
	r.verb = strings.Contains(path, ":")
	return r
}

// queryParser adds to the gateway's: an empty value counts as absent, an
// enum's value may leave out its type's prefix, and a name that an operation of
// ours doesn't have is refused.
type queryParser struct{ runtime.DefaultQueryParser }

// The gateway keeps the parser in a variable of its package, whatever the mux
// that the option is given to: setting it once keeps two servers in one process
// from racing.
func init() { runtime.SetQueryParameterParser(queryParser{})(nil) }

func (p queryParser) Parse(m proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	md := m.ProtoReflect().Descriptor()
	ours := md.ParentFile().Package() == ripostev1.File_riposte_v1_instances_proto.Package()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		vs := values[name]
		fd := md.Fields().ByJSONName(name)
		if fd == nil {
			fd = md.Fields().ByTextName(name)
		}
		if fd == nil && ours {
			refuse(m, name, "is not a parameter of this operation")
			return nil
		}
		if fd == nil || vs[0] == "" {
			continue
		}
		if fd.Enum() != nil {
			vs = []string{enumName(fd.Enum(), vs[0])}
		}
		if err := p.parseField(m, fd, name, vs, filter); err != nil {
			refuse(m, fd.JSONName(), cannotHave(strings.Join(vs, ",")))
			return nil
		}
	}
	return nil
}

// cannotHave repeats no value that may be a secret in the wrong place.
func cannotHave(value string) string {
	if len(value) > apijson.MaxShown {
		return "can't have the value that was given"
	}
	return fmt.Sprintf("can't have the value %q", value)
}

// parseField reads durations as proto3 JSON does: the gateway takes 1h and
// 100ms, and doesn't take the longest.
func (p queryParser) parseField(m proto.Message, fd protoreflect.FieldDescriptor, name string, values []string, filter *utilities.DoubleArray) error {
	if fd.Message() == nil || fd.Message().FullName() != "google.protobuf.Duration" {
		return p.DefaultQueryParser.Parse(m, url.Values{name: values}, filter)
	}
	d := &durationpb.Duration{}
	if err := protojson.Unmarshal([]byte(strconv.Quote(strings.Join(values, ","))), d); err != nil {
		return err
	}
	m.ProtoReflect().Set(fd, protoreflect.ValueOfMessage(d.ProtoReflect()))
	return nil
}

// enumName finds FULL as INSTANCE_VIEW_FULL.
func enumName(ed protoreflect.EnumDescriptor, value string) string {
	zero := string(ed.Values().ByNumber(0).Name())
	prefixed := strings.TrimSuffix(zero, "UNSPECIFIED") + value
	if ed.Values().ByName(protoreflect.Name(prefixed)) != nil {
		return prefixed
	}
	return value
}

// marshaler lets the gateway speak apijson.
type marshaler struct{}

func (marshaler) ContentType(any) string { return "application/json" }

func (marshaler) Marshal(v any) ([]byte, error) { return codec{}.Marshal(v) }

func (marshaler) Unmarshal(b []byte, v any) error { return codec{}.Unmarshal(b, v) }

func (m marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		if read, ok := r.(*body); ok {
			b := read.all
			*read = body{} // what is decoded has bytes of its own
			return m.Unmarshal(b, v)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return m.Unmarshal(b, v)
	})
}

func (m marshaler) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		b, err := m.Marshal(v)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
}
