package api_test

import (
	"net/http"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// method is an RPC as the proto files describe it.
type method struct {
	procedure string // "/riposte.v1.InstancesService/Get"
	stream    bool   // it answers as long as the caller stays
	rest      []binding
}

// binding is an http annotation.
type binding struct{ method, path string }

// methods lists every RPC of the API.
func methods() []method {
	var all []method
	for _, f := range []protoreflect.FileDescriptor{
		webhooksv1.File_c1_api_webhooks_v1_webhooks_proto, ripostev1.File_riposte_v1_instances_proto,
		ripostev1.File_riposte_v1_settings_proto, ripostev1.File_riposte_v1_consumers_proto, ripostev1.File_riposte_v1_keys_proto,
		ripostev1.File_riposte_v1_clients_proto, ripostev1.File_riposte_v1_server_keys_proto, ripostev1.File_riposte_v1_audit_proto,
		ripostev1.File_riposte_v1_verification_proto,
		ripostev1.File_riposte_v1_statistics_proto,
	} {
		for s := range f.Services().Len() {
			service := f.Services().Get(s)
			for m := range service.Methods().Len() {
				md := service.Methods().Get(m)
				rule := proto.GetExtension(md.Options(), annotations.E_Http).(*annotations.HttpRule)
				one := method{procedure: "/" + string(service.FullName()) + "/" + string(md.Name()), stream: md.IsStreamingServer()}
				for _, each := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
					one.rest = append(one.rest, readBinding(each))
				}
				all = append(all, one)
			}
		}
	}
	return all
}

func readBinding(rule *annotations.HttpRule) binding {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return binding{http.MethodGet, p.Get}
	case *annotations.HttpRule_Post:
		return binding{http.MethodPost, p.Post}
	case *annotations.HttpRule_Patch:
		return binding{http.MethodPatch, p.Patch}
	case *annotations.HttpRule_Delete:
		return binding{http.MethodDelete, p.Delete}
	}
	panic("an http annotation of another kind")
}
