package api

import (
	"context"

	"github.com/riposte-dev/riposte"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// verificationService is riposte.v1's VerificationService.
type verificationService struct{ s *Server }

func (h verificationService) VerifyDelivery(ctx context.Context, r *ripostev1.VerificationServiceVerifyDeliveryRequest) (*ripostev1.VerificationServiceVerifyDeliveryResponse, error) {
	return call(ctx, h.s, "VerificationService.VerifyDelivery", riposte.RoleViewer, r, h.verifyDelivery)
}

func (h verificationService) VerifyDocument(ctx context.Context, r *ripostev1.VerificationServiceVerifyDocumentRequest) (*ripostev1.VerificationServiceVerifyDocumentResponse, error) {
	return call(ctx, h.s, "VerificationService.VerifyDocument", riposte.RoleViewer, r, h.verifyDocument)
}

func (h verificationService) verifyDelivery(ctx context.Context, _ riposte.Caller, r *ripostev1.VerificationServiceVerifyDeliveryRequest) (*ripostev1.VerificationServiceVerifyDeliveryResponse, error) {
	return nil, errNotYet
}

func (h verificationService) verifyDocument(ctx context.Context, _ riposte.Caller, r *ripostev1.VerificationServiceVerifyDocumentRequest) (*ripostev1.VerificationServiceVerifyDocumentResponse, error) {
	return nil, errNotYet
}
