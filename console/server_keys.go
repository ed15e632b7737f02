package console

import (
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const (
	// keySetPath is where the API has the signing keys.
	keySetPath = "/auth/v1/jwks"
	// serverKeysLive is how often the keys are looked at again.
	serverKeysLive = 5 * time.Second
)

// serverKeysData is what the page of this name shows.
type serverKeysData struct {
	Uses   []serverKeyUse
	KeySet string // its URL
}

// serverKeyUse is what keys are used for: what a rotation does to it and what not, and
// the keys that there are.
type serverKeyUse struct {
	Use        ripostev1.ServerKeyUse
	Word       string // as it stands in URLs
	Title      string
	About      string
	Will       string
	Wont       string
	Algorithms []string // that can be chosen, the first of them the default
	Published  string   // the hint for how long a key is published; "" for one that is not

	Keys     []serverKeyRow
	Form     rotationForm
	Problems map[string]string // of the form's fields, by their names in the API; of the whole for ""
}

var serverKeyUses = []serverKeyUse{
	{
		Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_SIGNING, Word: "signing", Title: "Signing keys",
		About:      "Deliveries are signed with these. Receivers get them from the key set, which anybody may read.",
		Will:       "A new key is published in the key set at once, and used 10 minutes later: receivers may keep the key set for 5. The one in use is removed 4 minutes after that.",
		Wont:       "Deliveries that are under way, and receivers that fetch the key set as they should, notice nothing. It can't be taken back, and until the next key is in use another rotation is refused.",
		Algorithms: []string{"EdDSA", "ES256", "RS256"},
		Published: "Left empty, it is 10 minutes. Longer, up to 7 days, for receivers that keep the key set for longer than they may. " +
			"0 for a key that somebody else may have got: receivers that don't fetch the key set again by themselves then refuse some deliveries, which are made again.",
	},
	{
		Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_CALLBACK, Word: "callback", Title: "Callback keys",
		About:     "The tokens of callback URLs are sealed with these.",
		Will:      "New callback URLs are made with a new key, a minute from now.",
		Wont:      "Callback URLs that are out go on working: the old key stays for 31 days, longer than an answer may take.",
		Published: "Left empty, it is a minute, in which all nodes learn of it. 0 for a key that somebody else may have got: who has that and knows the ids of open instances can still answer those.",
	},
	{
		Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_ACCESS_TOKEN, Word: "access-token", Title: "Access-token keys",
		About:     "The access tokens of clients are signed with these.",
		Will:      "New access tokens are signed with a new key, a minute from now.",
		Wont:      "Clients and their secrets stay as they are, and access tokens that are out stay good: the old key stays for 130 minutes, twice as long as a token is taken.",
		Published: "Left empty, it is a minute, in which all nodes learn of it. 0 for a key that somebody else may have got: tokens signed with that count for 130 minutes all the same, unless their clients are revoked.",
	},
	{
		Use: ripostev1.ServerKeyUse_SERVER_KEY_USE_DATA, Word: "data", Title: "Data keys",
		About: "All that is secret in the store is sealed with the newest of these, and these with the master key, which is not in the store.",
		Will:  "A new key is made and wrapped with the first master key there is, and all that is sealed is sealed anew with it while the server serves. The old key is removed when nothing is left that it has sealed, a day later at the earliest.",
		Wont:  "No secret changes, nor does a key of the other kinds. Where you have given the nodes a new master key, see that each has it: one without it can't open what is sealed from now on.",
	},
}

// Noun is the title within a sentence.
func (u serverKeyUse) Noun() string { return strings.ToLower(u.Title) }

// serverKeyRow is a key and what its state means.
type serverKeyRow struct {
	*ripostev1.ServerKey
	State stateView
}

var serverKeyStates = map[ripostev1.ServerKeyState]stateView{
	ripostev1.ServerKeyState_SERVER_KEY_STATE_NEXT:    {Text: "Next", Class: "state-waiting-callback"},
	ripostev1.ServerKeyState_SERVER_KEY_STATE_CURRENT: {Text: "In use", Class: "state-success"},
	ripostev1.ServerKeyState_SERVER_KEY_STATE_RETIRED: {Text: "Old", Class: "state-pending"},
}

// rotationForm is a rotation as it was typed in.
type rotationForm struct{ Algorithm, PublishFor string }

func (v *visit) serverKeys() error { return v.showServerKeys(http.StatusOK, "", rotationForm{}, nil) }

// showServerKeys shows the keys, and what is wrong with a rotation of the use with the word.
func (v *visit) showServerKeys(status int, word string, form rotationForm, problems map[string]string) error {
	list, err := v.api.serverKeys.List(v.call(), &ripostev1.ServerKeysServiceListRequest{})
	if err != nil {
		return err
	}
	d := serverKeysData{KeySet: v.PublicURL + keySetPath}
	for _, u := range serverKeyUses {
		for _, k := range list.GetList() {
			if k.GetUse() == u.Use {
				u.Keys = append(u.Keys, serverKeyRow{k, serverKeyStates[k.GetState()]})
			}
		}
		if u.Word == word {
			u.Form, u.Problems = form, problems
		}
		d.Uses = append(d.Uses, u)
	}
	return v.show(status, "server_keys", page{Title: "Server keys", Nav: "/server-keys", Live: serverKeysLive, Data: d})
}

// rotateServerKey makes the next key of a use. What is wrong with that, such as one that is
// waiting already, is said where it was asked for.
func (v *visit) rotateServerKey() error {
	word := v.r.PathValue("use")
	form := rotationForm{strings.TrimSpace(v.r.PostFormValue("algorithm")), strings.TrimSpace(v.r.PostFormValue("publishFor"))}
	req := &ripostev1.ServerKeysServiceRotateRequest{Algorithm: form.Algorithm}
	for _, u := range serverKeyUses {
		if u.Word == word {
			req.Use = u.Use
		}
	}
	if req.GetUse() == 0 {
		return errNoPage
	}
	refuse := func(problems map[string]string) error {
		return v.showServerKeys(http.StatusUnprocessableEntity, word, form, problems)
	}
	if form.PublishFor != "" {
		d, err := parseSpan(form.PublishFor)
		if err != nil {
			return refuse(map[string]string{"publishFor": err.Error()})
		}
		req.PublishFor = durationpb.New(d)
	}
	_, err := v.api.serverKeys.Rotate(v.call(), req)
	if bad := violations(err); bad != nil {
		return refuse(bad)
	}
	switch connect.CodeOf(err) {
	case connect.CodeFailedPrecondition, connect.CodeAborted, connect.CodeUnavailable:
		return refuse(map[string]string{"": problem(err)})
	}
	if err != nil {
		return err
	}
	return v.redirect("/server-keys", "rotated")
}

// toServerKeys is for who comes back to the address of a form by a link or a reload.
func (v *visit) toServerKeys() error { return v.redirect("/server-keys", "") }
