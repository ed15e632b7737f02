package console_test

import (
	"net/http"
	"net/url"
	"testing"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
	"github.com/riposte-dev/riposte/ripostetest"
)

// TestLabelsAreFilteredAsTheyAre, whatever the API let their keys and values have.
func TestLabelsAreFilteredAsTheyAre(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_SENDER)
	webhook := r.newWebhook(ripostetest.Reply{Status: http.StatusAccepted})
	r.askMany(webhook, 1, `red "blue" \ it's=`)
	for _, labels := range []map[string]string{{"a key": "x", `b\`: "", `c"='`: "y"}, {"a key": "x y"}, {`d"`: "z"}} {
		_, err := r.server.Instances.Create(t.Context(), &ripostev1.InstancesServiceCreateRequest{
			WebhookId: webhook, Source: approvalStep("T-1"), Payload: []byte(`{}`), Labels: labels})
		if err != nil {
			t.Fatal(err)
		}
	}
	for labels, want := range map[string]string{
		`team="red \"blue\" \\ it's="`: "1 instance matches.",
		`"a key"=x`:                    "1 instance matches.",
		`'a key'="x"  b\=`:             "1 instance matches.",
		`"a key"="x y"`:                "1 instance matches.",
		`"a key"="x y" b\=`:            "No instance matches.",
		`"d\""=z`:                      "1 instance matches.",
	} {
		q := url.Values{"labels": {labels}, "action": {"cancel"}}
		r.get("/instances/bulk?"+q.Encode()).wants(t, http.StatusOK, want)
	}
	r.get("/instances?labels="+url.QueryEscape(`"c\"='"=y`)).wants(t, http.StatusUnprocessableEntity, `id="labels-about">Labels must have no key with both`)
	r.get("/instances?labels=a+b").wants(t, http.StatusUnprocessableEntity, `team=&#34;red blue&#34;`, `aria-invalid="true"`)
}

func TestASpanThatIsNoChoiceIsRefused(t *testing.T) {
	r := newReader(t).as(ripostev1.Role_ROLE_VIEWER)
	r.get("/instances?since=2h").wants(t, http.StatusUnprocessableEntity, `<select id="since" name="since" aria-invalid="true" aria-describedby="since-about">`,
		`id="since-about">In an address, this must be one of 15m, 1h, 24h, 168h, 720h.`)
	r.get("/instances?since=1h").wants(t, http.StatusOK, `value="1h" selected`)
}
