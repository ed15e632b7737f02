package api

import (
	"fmt"

	"github.com/riposte-dev/riposte"
)

// rule is who may call an operation, and what is kept of that.
type rule struct {
	role    riposte.Role // the least that it takes
	audited bool         // what it changes is written into the audit log
}

// rules has every operation of the API, and is the only place that says who may do
// what: call refuses an operation that isn't here. docs/roles.md is compared with it.
//
// All that changes something is audited, but for what callers do all the time: an
// instance tells by whom and when it was created, and pulls and acks only move a
// consumer's place.
var rules = map[string]rule{
	"WebhooksService.Create": {riposte.RoleAdmin, true},
	"WebhooksService.Get":    {riposte.RoleViewer, false},
	"WebhooksService.List":   {riposte.RoleViewer, false},
	"WebhooksService.Update": {riposte.RoleAdmin, true},
	"WebhooksService.Delete": {riposte.RoleAdmin, true},
	"WebhooksService.Test":   {riposte.RoleSender, true},
	"WebhooksSearch.Search":  {riposte.RoleViewer, false},

	"WebhookSettingsService.Get":          {riposte.RoleViewer, false},
	"WebhookSettingsService.Update":       {riposte.RoleAdmin, true},
	"WebhookSettingsService.RotateSecret": {riposte.RoleAdmin, true},
	"WebhookSettingsService.RemoveSecret": {riposte.RoleAdmin, true},

	"InstancesService.Create":      {riposte.RoleSender, false},
	"InstancesService.BatchCreate": {riposte.RoleSender, false},
	"InstancesService.Get":         {riposte.RoleViewer, false},
	// Its answer has the callback URL and a signature, with which anybody can act.
	"InstancesService.GetDelivery":   {riposte.RoleSender, false},
	"InstancesService.List":          {riposte.RoleViewer, false},
	"InstancesService.Count":         {riposte.RoleViewer, false},
	"InstancesService.Wait":          {riposte.RoleViewer, false},
	"InstancesService.Watch":         {riposte.RoleViewer, false},
	"InstancesService.Cancel":        {riposte.RoleSender, true},
	"InstancesService.RetryNow":      {riposte.RoleSender, true},
	"InstancesService.Recreate":      {riposte.RoleSender, true},
	"InstancesService.Answer":        {riposte.RoleSender, true},
	"InstancesService.BatchCancel":   {riposte.RoleSender, true},
	"InstancesService.BatchRecreate": {riposte.RoleSender, true},

	"ConsumersService.Create": {riposte.RoleSender, true},
	"ConsumersService.Get":    {riposte.RoleViewer, false},
	"ConsumersService.List":   {riposte.RoleViewer, false},
	"ConsumersService.Delete": {riposte.RoleSender, true},
	"ConsumersService.Pull":   {riposte.RoleSender, false},
	"ConsumersService.Ack":    {riposte.RoleSender, false},

	"KeysService.Create":  {riposte.RoleAdmin, true},
	"KeysService.List":    {riposte.RoleAdmin, false},
	"KeysService.Revoke":  {riposte.RoleAdmin, true},
	"KeysService.Current": {riposte.RoleViewer, false},

	"ClientsService.Create": {riposte.RoleAdmin, true},
	"ClientsService.List":   {riposte.RoleAdmin, false},
	"ClientsService.Revoke": {riposte.RoleAdmin, true},

	"ServerKeysService.List":   {riposte.RoleAdmin, false},
	"ServerKeysService.Rotate": {riposte.RoleAdmin, true},

	"AuditService.List": {riposte.RoleAdmin, false},

	"StatisticsService.Get":          {riposte.RoleViewer, false},
	"StatisticsService.GetWebhook":   {riposte.RoleViewer, false},
	"StatisticsService.ListWebhooks": {riposte.RoleViewer, false},

	"VerificationService.VerifyDelivery": {riposte.RoleViewer, false},
	"VerificationService.VerifyDocument": {riposte.RoleViewer, false},
}

// ruleOf returns an error for an operation that has none, so that nobody may call it.
func ruleOf(operation string) (rule, error) {
	r, ok := rules[operation]
	if !ok {
		return r, fmt.Errorf("operation %s has no rule that says who may call it", operation)
	}
	return r, nil
}
