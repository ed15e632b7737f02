package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// auditData is what the page of this name shows.
type auditData struct {
	Filter     auditFilter
	Problems   map[string]string // of the filter's fields
	Problem    string            // of the filter as a whole
	Operations []string          // to choose from
	Sinces     []since
	Sizes      []int
	Size       int
	Rows       []auditRow
	First      string // the first page's URL, on another one
	Next       string // the next page's URL; "" on the last one
}

// auditRow is an entry, and where what it names is found.
type auditRow struct {
	*ripostev1.AuditEntry
	TargetURL   string // of the page of what was changed; "" where it has none
	ByActorURL  string // of the entries of the same actor
	OnTargetURL string // of the entries of the same target
}

// auditedOperations are those that the audit log has entries of.
var auditedOperations = []string{
	"WebhooksService.Create", "WebhooksService.Update", "WebhooksService.Delete", "WebhooksService.Test",
	"WebhookSettingsService.Update", "WebhookSettingsService.RotateSecret", "WebhookSettingsService.RemoveSecret",
	"InstancesService.Cancel", "InstancesService.RetryNow", "InstancesService.Recreate", "InstancesService.Answer",
	"InstancesService.BatchCancel", "InstancesService.BatchRecreate",
	"ConsumersService.Create", "ConsumersService.Delete",
	"KeysService.Create", "KeysService.Revoke", "ClientsService.Create", "ClientsService.Revoke", "ServerKeysService.Rotate",
}

// auditFilter is what the audit log is narrowed by, as it stands in the URL.
type auditFilter struct {
	Actor     string
	Operation string
	Target    string
	Since     string // how long ago at most, one of sinces
	From      string // at or after, RFC 3339
	To        string // before
}

func readAuditFilter(q url.Values) auditFilter {
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	return auditFilter{Actor: get("actor"), Operation: get("operation"), Target: get("target"), Since: get("since"), From: get("from"), To: get("to")}
}

// Empty reports whether it selects everything.
func (f auditFilter) Empty() bool { return f == auditFilter{} }

// URL is a page of the log; of the first one for no token.
func (f auditFilter) URL(size int, token string) string {
	q := url.Values{}
	for name, value := range map[string]string{"actor": f.Actor, "operation": f.Operation, "target": f.Target,
		"since": f.Since, "from": f.From, "to": f.To, "page": token} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if size != 0 && size != pageSizes[0] {
		q.Set("size", strconv.Itoa(size))
	}
	return (&url.URL{Path: "/audit", RawQuery: q.Encode()}).String()
}

// fixed is the filter with the beginning of its span as a time, as instanceFilter's.
func (f auditFilter) fixed(now time.Time) auditFilter {
	f.Since, f.From = fixedSpan(f.Since, f.From, now)
	return f
}

// expression is a fixed filter as the API takes it, or what is wrong with a field, by its
// name.
func (f auditFilter) expression(now time.Time) (string, map[string]string) {
	var parts []string
	for _, each := range []struct{ field, value string }{{"actor", f.Actor}, {"operation", f.Operation}, {"target", f.Target}} {
		if each.value != "" {
			parts = append(parts, each.field+" = "+quoted(each.value))
		}
	}
	problems := map[string]string{}
	parts = append(parts, createdWithin(f.Since, f.From, f.To, now, problems)...)
	return strings.Join(parts, " AND "), problems
}

// targetURL is the page of what an operation has changed; "" where it has none.
func targetURL(operation, target string) string {
	service, _, _ := strings.Cut(operation, ".")
	switch {
	case target == "":
		return ""
	case operation == "WebhooksService.Test", service == "InstancesService":
		return instancePath(target)
	case service == "WebhooksService", service == "WebhookSettingsService":
		return webhookPath(target)
	case service == "KeysService":
		return "/keys"
	case service == "ClientsService":
		return "/clients"
	case service == "ServerKeysService":
		return "/server-keys#" + target // its use
	}
	return ""
}

// auditURL leads to what was done to something.
func auditURL(target string) string { return auditFilter{Target: target}.URL(0, "") }

// errAuditForAdmins is for a form that would be filled in for nothing.
var errAuditForAdmins = connect.NewError(connect.CodePermissionDenied, errors.New("the audit log is read with the API key of an admin"))

func (v *visit) audit() error {
	if !v.session.MayManage() {
		return errAuditForAdmins
	}
	q := v.r.URL.Query()
	d := auditData{Filter: readAuditFilter(q), Operations: auditedOperations, Sinces: sinces, Sizes: pageSizes, Size: int(pageSize(q))}
	p := page{Title: "Audit log", Nav: "/audit"}
	fixed := d.Filter.fixed(time.Now())
	expression, problems := fixed.expression(time.Now())
	if d.Problems = problems; len(problems) > 0 {
		p.Data = d
		return v.show(http.StatusUnprocessableEntity, "audit", p)
	}
	list, err := v.api.audit.List(v.call(), &ripostev1.AuditServiceListRequest{Filter: expression, PageSize: int32(d.Size), PageToken: q.Get("page")})
	if bad := violations(err); bad != nil {
		d.Problem = sentence("The filter " + bad["filter"])
		if bad["pageToken"] != "" {
			d.Problem = "This is no page of this list: its filter has changed since. Go back to the first page."
			d.First = d.Filter.URL(d.Size, "")
		}
		p.Data = d
		return v.show(http.StatusUnprocessableEntity, "audit", p)
	}
	if err != nil {
		return err
	}
	for _, e := range list.GetList() {
		d.Rows = append(d.Rows, auditRow{AuditEntry: e, TargetURL: targetURL(e.GetOperation(), e.GetTarget()),
			ByActorURL: auditFilter{Actor: e.GetActor()}.URL(0, ""), OnTargetURL: auditURL(e.GetTarget())})
	}
	if q.Get("page") != "" {
		d.First = d.Filter.URL(d.Size, "")
	}
	if token := list.GetNextPageToken(); token != "" {
		d.Next = fixed.URL(d.Size, token)
	}
	p.Live, p.Data = listLive, d
	return v.show(http.StatusOK, "audit", p)
}
