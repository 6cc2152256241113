// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// serveGRPC has the health service, which knows the server itself, "good", "bad" and "slow".
func serveGRPC(listener net.Listener) error {
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health{})
	return server.Serve(listener)
}

type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	answer := &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	switch r.Service {
	case "", "good":
	case "bad":
		answer.Status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	case "slow":
		<-ctx.Done()
		time.Sleep(time.Second) // the client's deadline comes first
	default:
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	if ill() {
		answer.Status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return answer, nil
}
