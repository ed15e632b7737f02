package api

import (
	"context"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func (h instancesService) GetDelivery(ctx context.Context, r *ripostev1.InstancesServiceGetDeliveryRequest) (*ripostev1.InstancesServiceGetDeliveryResponse, error) {
	return call(ctx, h.s, "InstancesService.GetDelivery", riposte.RoleSender, r, h.getDelivery)
}

func (h instancesService) Count(ctx context.Context, r *ripostev1.InstancesServiceCountRequest) (*ripostev1.InstancesServiceCountResponse, error) {
	return call(ctx, h.s, "InstancesService.Count", riposte.RoleViewer, r, h.count)
}

func (h instancesService) BatchCancel(ctx context.Context, r *ripostev1.InstancesServiceBatchCancelRequest) (*ripostev1.InstancesServiceBatchCancelResponse, error) {
	return call(ctx, h.s, "InstancesService.BatchCancel", riposte.RoleSender, r, h.batchCancel)
}

func (h instancesService) BatchRecreate(ctx context.Context, r *ripostev1.InstancesServiceBatchRecreateRequest) (*ripostev1.InstancesServiceBatchRecreateResponse, error) {
	return call(ctx, h.s, "InstancesService.BatchRecreate", riposte.RoleSender, r, h.batchRecreate)
}

func (h instancesService) getDelivery(ctx context.Context, _ riposte.Caller, r *ripostev1.InstancesServiceGetDeliveryRequest) (*ripostev1.InstancesServiceGetDeliveryResponse, error) {
	return nil, errNotYet
}

func (h instancesService) count(ctx context.Context, _ riposte.Caller, r *ripostev1.InstancesServiceCountRequest) (*ripostev1.InstancesServiceCountResponse, error) {
	return nil, errNotYet
}

func (h instancesService) batchCancel(ctx context.Context, _ riposte.Caller, r *ripostev1.InstancesServiceBatchCancelRequest) (*ripostev1.InstancesServiceBatchCancelResponse, error) {
	return nil, errNotYet
}

func (h instancesService) batchRecreate(ctx context.Context, _ riposte.Caller, r *ripostev1.InstancesServiceBatchRecreateRequest) (*ripostev1.InstancesServiceBatchRecreateResponse, error) {
	return nil, errNotYet
}
