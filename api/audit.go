package api

import (
	"cmp"
	"context"
	"reflect"
	"strings"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

const maxAuditPageSize = 1000

// auditService is riposte.v1's AuditService.
type auditService struct{ s *Server }

func (h auditService) List(ctx context.Context, r *ripostev1.AuditServiceListRequest) (*ripostev1.AuditServiceListResponse, error) {
	return call(ctx, h.s, "AuditService.List", r, h.list)
}

func (h auditService) list(ctx context.Context, _ riposte.Caller, r *ripostev1.AuditServiceListRequest) (*ripostev1.AuditServiceListResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken(), maxAuditPageSize, "audit", r.GetFilter())
	if err != nil {
		return nil, err
	}
	if size := int(r.GetPageSize()); size > 0 {
		p.size = min(size, maxAuditPageSize) // a page of ours may have one row
	}
	f, err := parseAuditFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	f.Before, f.Limit = p.before, p.limit()
	rows, err := h.s.Store.ListAudit(ctx, f)
	if err != nil {
		return nil, err
	}
	rows, next := cut(p, rows, func(e riposte.AuditEntry) string { return e.ID })
	res := &ripostev1.AuditServiceListResponse{NextPageToken: next}
	for _, e := range rows {
		res.List = append(res.List, auditMessage(e))
	}
	return res, nil
}

func auditMessage(e riposte.AuditEntry) *ripostev1.AuditEntry {
	return &ripostev1.AuditEntry{
		Id:            e.ID,
		CreatedAt:     timestamp(e.CreatedAt),
		Actor:         e.Actor,
		ActorName:     e.ActorName,
		Role:          roleMessage(e.Role),
		RemoteAddress: e.RemoteAddress,
		Operation:     e.Operation,
		Target:        e.Target,
		Detail:        e.Detail,
	}
}

// auditEntry says that caller does an operation; what of it its handler adds.
func auditEntry(caller riposte.Caller, operation string) riposte.AuditEntry {
	return riposte.AuditEntry{
		Actor: caller.KeyID, ActorName: caller.KeyName, Role: caller.Role, RemoteAddress: caller.RemoteAddress, Operation: operation,
	}
}

// auditing adds the id of what is changed to the entry that ctx carries, if it carries
// one, and for people what is changed of it, which must not be a secret, nor what may
// have one in it, as a URL may. What was added before stays.
func auditing(ctx context.Context, target, detail string) context.Context {
	e, ok := riposte.AuditOf(ctx)
	if !ok {
		return ctx
	}
	e.Target, e.Detail = cmp.Or(e.Target, target), cmp.Or(e.Detail, detail)
	return riposte.WithAudit(ctx, e)
}

// webhookFields are what callers change of a webhook, by their names in the API.
var webhookFields = []struct {
	name string
	of   func(riposte.Webhook) any
}{
	{"displayName", func(w riposte.Webhook) any { return w.DisplayName }},
	{"description", func(w riposte.Webhook) any { return w.Description }},
	{"url", func(w riposte.Webhook) any { return w.URL }},
	{"callbackTimeout", func(w riposte.Webhook) any { return w.CallbackTimeout }},
	{"retryPolicy", func(w riposte.Webhook) any { return w.Settings.RetryPolicy }},
	{"maxInFlight", func(w riposte.Webhook) any { return w.Settings.MaxInFlight }},
	{"maxInFlightTotal", func(w riposte.Webhook) any { return w.Settings.MaxInFlightTotal }},
	{"outcomeUrl", func(w riposte.Webhook) any { return w.Settings.OutcomeURL }},
	{"headers", func(w riposte.Webhook) any { return w.Settings.Request.Headers }},
	{"secrets", func(w riposte.Webhook) any { return w.Settings.Request.Secrets }},
	{"clientCertificate", func(w riposte.Webhook) any { return w.Settings.Request.ClientCertificate }},
	{"caPem", func(w riposte.Webhook) any { return w.Settings.Request.CA }},
}

// changedFields names what differs between a webhook before and after a change.
func changedFields(before, after riposte.Webhook) string {
	var names []string
	for _, f := range webhookFields {
		if !reflect.DeepEqual(f.of(before), f.of(after)) {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ", ")
}
