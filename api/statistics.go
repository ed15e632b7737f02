package api

import (
	"context"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

var errNotYet = &riposte.Error{Code: riposte.CodeUnavailable, Reason: "NOT_YET", Message: "not built yet"}

// statisticsService is riposte.v1's StatisticsService.
type statisticsService struct{ s *Server }

func (h statisticsService) Get(ctx context.Context, r *ripostev1.StatisticsServiceGetRequest) (*ripostev1.StatisticsServiceGetResponse, error) {
	return call(ctx, h.s, "StatisticsService.Get", riposte.RoleViewer, r, h.get)
}

func (h statisticsService) GetWebhook(ctx context.Context, r *ripostev1.StatisticsServiceGetWebhookRequest) (*ripostev1.StatisticsServiceGetWebhookResponse, error) {
	return call(ctx, h.s, "StatisticsService.GetWebhook", riposte.RoleViewer, r, h.getWebhook)
}

func (h statisticsService) ListWebhooks(ctx context.Context, r *ripostev1.StatisticsServiceListWebhooksRequest) (*ripostev1.StatisticsServiceListWebhooksResponse, error) {
	return call(ctx, h.s, "StatisticsService.ListWebhooks", riposte.RoleViewer, r, h.listWebhooks)
}

func (h statisticsService) get(ctx context.Context, _ riposte.Caller, r *ripostev1.StatisticsServiceGetRequest) (*ripostev1.StatisticsServiceGetResponse, error) {
	return nil, errNotYet
}

func (h statisticsService) getWebhook(ctx context.Context, _ riposte.Caller, r *ripostev1.StatisticsServiceGetWebhookRequest) (*ripostev1.StatisticsServiceGetWebhookResponse, error) {
	return nil, errNotYet
}

func (h statisticsService) listWebhooks(ctx context.Context, _ riposte.Caller, r *ripostev1.StatisticsServiceListWebhooksRequest) (*ripostev1.StatisticsServiceListWebhooksResponse, error) {
	return nil, errNotYet
}
