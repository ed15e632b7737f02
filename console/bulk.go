package console

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// bulkPart is how many instances are looked at with one request: few enough for an
// answer well within a second.
const bulkPart = 200

// bulk is a change of all instances that a filter matches, part by part. What there
// is to know about it is in the form that asks for the next part: any node can do
// that, and none remembers it.
type bulk struct {
	Action  bulkAction
	Filter  instanceFilter
	Request string // makes it safe to repeat a part
	Token   string // of the next part; "" for the first one
	Total   int    // how many matched at first
	More    bool   // Total is where the count stopped
	Changed int
	Refused int
}

// bulkAction is what is done to each, in the words of its pages.
type bulkAction struct {
	Name    string // as it stands in URLs
	Title   string
	Will    string
	Begin   string
	Changed string // "12 …"
	Refused string // "12 …"
}

var bulkActions = map[string]bulkAction{
	"cancel": {
		Name: "cancel", Title: "Cancel instances", Begin: "Cancel them", Changed: "canceled", Refused: "left as they were, because they have their outcome",
		Will: "The outcome of each will be a failure, for good, and a later answer is refused. Those that have their outcome already stay as they are.",
	},
	"recreate": {
		Name: "recreate", Title: "Recreate instances", Begin: "Ask them again", Changed: "asked again", Refused: "not asked again, because their webhook is deleted",
		Will: "The question of each is asked again, as a new instance, at its webhook's current URL. The old ones stay as they are, those that still wait for an answer, too.",
	},
}

// bulkStage is how far it is.
type bulkStage string

const (
	bulkAsked   bulkStage = "asked" // nothing has been done yet
	bulkGoing   bulkStage = "going"
	bulkFailed  bulkStage = "failed" // the last part alone, which may be tried again
	bulkDone    bulkStage = "done"
	bulkRefused bulkStage = "refused" // it can't be begun
)

// bulkData is what the page of this name shows.
type bulkData struct {
	bulk
	Stage   bulkStage
	Problem string
	Words   []filterWord
	List    string // the list of these instances
	Hidden  []formField
}

// bulkLink leads to the page that asks whether a change is meant.
type bulkLink struct{ Text, URL string }

func bulkLinks(f instanceFilter) []bulkLink {
	if f.Empty() {
		return nil
	}
	link := func(text, action string) bulkLink {
		q := f.query()
		q.Set("action", action)
		return bulkLink{text, (&url.URL{Path: "/instances/bulk", RawQuery: q.Encode()}).String()}
	}
	return []bulkLink{link("Cancel all…", "cancel"), link("Recreate all…", "recreate")}
}

// Looked is how many are behind it.
func (b bulk) Looked() int { return b.Changed + b.Refused }

// Known reports whether it can be said how much of it is done.
func (b bulk) Known() bool { return !b.More && b.Total > 0 }

func readBulk(q url.Values) (b bulk, ok bool) {
	count := func(name string) int {
		n, _ := strconv.Atoi(q.Get(name))
		return max(0, n)
	}
	b = bulk{
		Filter: readInstanceFilter(q), Request: q.Get("request"), Token: q.Get("token"),
		Total: count("total"), More: q.Get("more") != "", Changed: count("changed"), Refused: count("refused"),
	}
	b.Action, ok = bulkActions[q.Get("action")]
	return b, ok
}

// fields are what readBulk reads again.
func (b bulk) fields() []formField {
	q := b.Filter.query()
	q.Set("action", b.Action.Name)
	for name, value := range map[string]string{
		"request": b.Request, "token": b.Token, "total": strconv.Itoa(b.Total), "changed": strconv.Itoa(b.Changed), "refused": strconv.Itoa(b.Refused),
	} {
		q.Set(name, value)
	}
	if b.More {
		q.Set("more", "1")
	}
	var fields []formField
	for _, name := range slices.Sorted(maps.Keys(q)) {
		fields = append(fields, formField{name, q.Get(name)})
	}
	return fields
}

var errMayNotSend = connect.NewError(connect.CodePermissionDenied, errors.New("this needs the key of a sender or of an admin"))

// bulkForm says what is about to be done to how many, and asks.
func (v *visit) bulkForm() error {
	b, ok := readBulk(v.r.URL.Query())
	if !ok {
		return errNoPage
	}
	if !v.session.MaySend() {
		return errMayNotSend
	}
	now := time.Now()
	b = bulk{Action: b.Action, Filter: b.Filter.fixed(now), Request: rand.Text()}
	expression, problem := b.expression(now)
	if problem == "" { // and of these, those that are there
		b.Filter = b.Filter.before(now)
		expression, problem = b.expression(now)
	}
	if problem != "" {
		return v.showBulk(http.StatusUnprocessableEntity, bulkRefused, b, problem)
	}
	res, err := v.api.instances.Count(v.call(), &ripostev1.InstancesServiceCountRequest{Filter: expression})
	if bad := violations(err); bad["filter"] != "" {
		return v.showBulk(http.StatusUnprocessableEntity, bulkRefused, b, sentence("The filter "+bad["filter"]))
	}
	if err != nil {
		return err
	}
	b.Total, b.More = int(res.GetCount()), res.GetMore()
	return v.showBulk(http.StatusOK, bulkAsked, b, "")
}

// expression is the filter as the API takes it, or why this can't be begun with it.
func (b bulk) expression(now time.Time) (expression, problem string) {
	if b.Filter.Empty() {
		return "", "There is no filter, and without one this would be done to every instance there is. Narrow the list first."
	}
	expression, problems := b.Filter.expression(now)
	for _, name := range slices.Sorted(maps.Keys(problems)) {
		problem = join(problem, sentence(name+" "+problems[name]))
	}
	return expression, problem
}

// bulkNext does one part, and answers with the page that asks for the next one.
func (v *visit) bulkNext() error {
	b, ok := readBulk(v.r.PostForm)
	if !ok {
		return errNoPage
	}
	now := time.Now()
	b.Filter = b.Filter.fixed(now) // it is already, but in a form that isn't ours
	expression, wrong := b.expression(now)
	if wrong != "" {
		return v.showBulk(http.StatusUnprocessableEntity, bulkRefused, b, wrong)
	}
	changed, refused, token, err := v.bulkPart(b, expression)
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated, connect.CodePermissionDenied, connect.CodeInvalidArgument, connect.CodeCanceled:
		return err
	}
	if err != nil {
		return v.showBulk(http.StatusServiceUnavailable, bulkFailed, b, problem(err))
	}
	b.Changed += int(changed)
	b.Refused += int(refused)
	b.Token = token
	if token == "" {
		return v.showBulk(http.StatusOK, bulkDone, b, "")
	}
	return v.showBulk(http.StatusOK, bulkGoing, b, "")
}

func (v *visit) bulkPart(b bulk, expression string) (changed, refused int32, token string, err error) {
	if b.Action.Name == "cancel" {
		res, err := v.api.instances.BatchCancel(v.call(), &ripostev1.InstancesServiceBatchCancelRequest{
			Filter: expression, PageSize: bulkPart, PageToken: b.Token})
		return res.GetCanceled(), res.GetRefused(), res.GetNextPageToken(), err
	}
	res, err := v.api.instances.BatchRecreate(v.call(), &ripostev1.InstancesServiceBatchRecreateRequest{
		Filter: expression, RequestId: b.Request, PageSize: bulkPart, PageToken: b.Token})
	return res.GetRecreated(), res.GetRefused(), res.GetNextPageToken(), err
}

func (v *visit) showBulk(status int, stage bulkStage, b bulk, problem string) error {
	webhook, err := v.webhookName(b.Filter.Webhook)
	if err != nil {
		webhook = "" // what was done must be said all the same
	}
	d := bulkData{bulk: b, Stage: stage, Problem: problem, Words: b.Filter.words(webhook), List: instancesURL(b.Filter, 0, ""), Hidden: b.fields()}
	return v.show(status, "bulk", page{Title: bulkTitle(b, stage), Nav: "/instances", Data: d})
}

// bulkTitle is what a tab says that is not looked at.
func bulkTitle(b bulk, stage bulkStage) string {
	switch {
	case stage == bulkDone:
		return "Done: " + strings.ToLower(b.Action.Title)
	case stage == bulkGoing && b.Known():
		return fmt.Sprintf("%d%%: %s", min(100, 100*b.Looked()/b.Total), strings.ToLower(b.Action.Title))
	}
	return b.Action.Title
}

// webhookName is "" for one that is deleted, or not there.
func (v *visit) webhookName(id string) (string, error) {
	if id == "" {
		return "", nil
	}
	res, err := v.api.search.Search(v.call(), &webhooksv1.WebhooksSearchRequest{Refs: []*webhooksv1.WebhookRef{{Id: id}}})
	if err != nil || len(res.GetList()) == 0 {
		return "", err
	}
	return res.GetList()[0].GetDisplayName(), nil
}
