package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// listLive is how often a list is looked at again.
const listLive = 2 * time.Second

// instancesData is what the page of this name shows.
type instancesData struct {
	Filter   instanceFilter
	Problems map[string]string // of the filter's fields
	Problem  string            // of the filter as a whole
	States   []stateView
	Sources  []sourceView
	Sinces   []since
	Sizes    []int
	Size     int
	Webhooks []*webhooksv1.Webhook // the newest, to choose from
	Rows     []instanceRow
	First    string     // the first page's URL, on another one
	Next     string     // the next page's URL; "" on the last one
	Looking  bool       // the page isn't full, but there may be more
	Bulk     []bulkLink // what may be done to all that match; nothing for all there are
	Any      bool       // whether there is a webhook at all
	Server   string     // the server\'s URL, for commands
}

// instanceRow is an instance and what it is called.
type instanceRow struct {
	*ripostev1.Instance
	Webhook string // its name; "" when the webhook is deleted
}

var allStates = func() []stateView {
	var all []stateView
	for n := 1; n < len(webhooksv1.WebhookState_name); n++ {
		all = append(all, newStateView(webhooksv1.WebhookState(n)))
	}
	return all
}()

func (v *visit) instances() error {
	q := v.r.URL.Query()
	d := instancesData{Filter: readInstanceFilter(q), States: allStates, Sources: sourceKinds, Sinces: sinces, Sizes: pageSizes, Size: int(pageSize(q))}
	d.Bulk = bulkLinks(d.Filter)
	webhooks, err := v.api.webhooks.List(v.call(), &webhooksv1.WebhooksServiceListRequest{PageSize: 100})
	if err != nil {
		return err
	}
	d.Webhooks = webhooks.GetList()
	fixed := d.Filter.fixed(time.Now())
	expression, problems := fixed.expression(time.Now())
	if d.Problems = problems; len(problems) > 0 {
		return v.show(http.StatusUnprocessableEntity, "instances", page{Title: "Instances", Nav: "/instances", Data: d})
	}
	list, err := v.api.instances.List(v.call(), &ripostev1.InstancesServiceListRequest{Filter: expression, PageSize: int32(d.Size), PageToken: q.Get("page")})
	if bad := violations(err); bad != nil {
		d.Problem = sentence("The filter " + bad["filter"])
		if bad["pageToken"] != "" {
			d.Problem = "This is no page of this list: its filter has changed since. Go back to the first page."
			d.First = instancesURL(d.Filter, d.Size, "")
		}
		return v.show(http.StatusUnprocessableEntity, "instances", page{Title: "Instances", Nav: "/instances", Data: d})
	}
	if err != nil {
		return err
	}
	if d.Rows, err = v.rows(list.GetList(), d.Webhooks); err != nil {
		return err
	}
	if q.Get("page") != "" {
		d.First = instancesURL(d.Filter, d.Size, "")
	}
	if token := list.GetNextPageToken(); token != "" {
		d.Next = instancesURL(fixed, d.Size, token)
		d.Looking = len(d.Rows) < d.Size
	}
	d.Any, d.Server = len(d.Webhooks) > 0, v.PublicURL
	return v.show(http.StatusOK, "instances", page{Title: "Instances", Nav: "/instances", Live: listLive, Data: d})
}

// instancesURL is a page of a list.
func instancesURL(f instanceFilter, size int, token string) string {
	q := f.query()
	if size != 0 && size != pageSizes[0] {
		q.Set("size", strconv.Itoa(size))
	}
	if token != "" {
		q.Set("page", token)
	}
	return (&url.URL{Path: "/instances", RawQuery: q.Encode()}).String()
}

// rows finds out what the instances' webhooks are called, those that aren't among
// known in one call.
func (v *visit) rows(instances []*ripostev1.Instance, known []*webhooksv1.Webhook) ([]instanceRow, error) {
	names := map[string]string{}
	for _, w := range known {
		names[w.GetId()] = w.GetDisplayName()
	}
	var missing []*webhooksv1.WebhookRef
	for _, i := range instances {
		id := i.GetWebhookInstance().GetWebhookId()
		if _, ok := names[id]; !ok && !slices.ContainsFunc(missing, func(r *webhooksv1.WebhookRef) bool { return r.GetId() == id }) {
			missing = append(missing, &webhooksv1.WebhookRef{Id: id})
		}
	}
	if len(missing) > 0 {
		res, err := v.api.search.Search(v.call(), &webhooksv1.WebhooksSearchRequest{Refs: missing, PageSize: 100})
		if err != nil {
			return nil, err
		}
		for _, w := range res.GetList() {
			names[w.GetId()] = w.GetDisplayName()
		}
	}
	rows := make([]instanceRow, len(instances))
	for n, i := range instances {
		rows[n] = instanceRow{i, names[i.GetWebhookInstance().GetWebhookId()]}
	}
	return rows, nil
}
