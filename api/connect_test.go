package api_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// connect-go keeps no more than a decoder's text; see refuse.
func TestConnectNamesTheFieldOfWhatItCanNotRead(t *testing.T) {
	n := startNode(t)
	for body, field := range map[string]string{
		`{"requests":[{},{"callbackTimeout":"1h"}]}`: "requests[1].callbackTimeout",
		`{"requests":[{"color":1}]}`:                 "requests[0].color",
		`{"requests":[{"source":{"test":{}}}]}`:      "",
		`{"requests":`:                               "",
	} {
		r := n.send(http.MethodPost, instances+"BatchCreate", body)
		var e struct {
			Code    string
			Message string
			Details []struct{ Type, Value string }
		}
		if err := json.Unmarshal(r.body, &e); err != nil || len(e.Details) == 0 || e.Details[0].Type != "google.rpc.ErrorInfo" {
			t.Fatalf("%s: HTTP %d, %s", body, r.status, r.body)
		}
		got := ""
		for _, d := range e.Details[1:] {
			b, err := base64.RawStdEncoding.DecodeString(d.Value)
			if err != nil {
				t.Fatal(err)
			}
			var bad errdetails.BadRequest
			if err := proto.Unmarshal(b, &bad); err != nil {
				t.Fatal(err)
			}
			got = bad.GetFieldViolations()[0].GetField()
		}
		if got != field {
			t.Errorf("%s: field %q, want %q: %s", body, got, field, r.body)
		}
	}
}

func TestGRPCErrorHasTheSameDetails(t *testing.T) {
	n := startNode(t)
	client := ripostev1.NewInstancesServiceClient(n.grpc)
	_, err := client.Create(n.asAdmin(), &ripostev1.InstancesServiceCreateRequest{WebhookId: n.webhook("/ok"), Source: approvalStep("")})
	st := grpcstatus.Convert(err)
	if st.Code() != codes.InvalidArgument || len(st.Details()) != 2 {
		t.Fatalf("%v %v", st, st.Details())
	}
	bad, ok := st.Details()[1].(*errdetails.BadRequest)
	if !ok || bad.GetFieldViolations()[0].GetField() != "source.approvalStep.ticketId" {
		t.Errorf("details %v", st.Details())
	}
}

// A client that sends the mark of a refusal gets it back and does no harm.
func TestForgedRefusalRefusesItsOwnRequest(t *testing.T) {
	n := startNode(t)
	before := n.everything()
	for _, forged := range []string{"\xfa\xff\xff\xff\x0f\x03\x0a\x01x", "\xfa\xff\xff\xff\x0f\x01\xff", "\xfa\xff\xff\xff\x0f\x00"} {
		r := n.send(http.MethodPost, webhooks+"Create", "\x0a\x01x\x12\x11https://a.example"+forged, "Content-Type", "application/proto")
		if code := connectCode(t, r); code != codes.InvalidArgument {
			t.Errorf("%q: HTTP %d, %s", forged, r.status, r.body)
		}
	}
	if after := n.everything(); len(after) != len(before) {
		t.Errorf("a webhook was made: %v", after)
	}
}
