// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// maxMessage of a health service: one field with a number.
const maxMessage = 4 << 10

// rpc is the probe of a gRPC server with the standard health service.
type rpc struct {
	text      string
	addresses []netip.AddrPort
	service   string
}

func parseGRPC(operand string, flags map[string][]string) (Probe, error) {
	list, err := parseAddress(operand)
	if err != nil {
		return nil, err
	}
	service, _, err := once(flags, "service")
	if err == nil && !utf8.ValidString(service) {
		err = errors.New("--service is not UTF-8")
	}
	return rpc{operand, list, service}, err
}

func (rpc) kind() string { return "grpc" }

func (r rpc) ask(a asked) Answer {
	what := "grpc " + shorten(r.text)
	if r.service != "" {
		what += " service " + shorten(r.service)
	}
	response, err := r.check(a)
	if err != nil {
		return bad("%s: %s", what, r.explain(err))
	}
	if response.Status != health.HealthCheckResponse_SERVING {
		return bad("%s: %s", what, response.Status)
	}
	return good("%s: %s", what, response.Status)
}

func (r rpc) check(a asked) (*health.HealthCheckResponse, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return a.target.Dial(ctx, r.addresses...) }
	client, err := grpc.NewClient("passthrough:///"+r.addresses[0].String(), grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(userAgent), grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithDisableHealthCheck(), grpc.WithMaxHeaderListSize(maxHeaderBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return health.NewHealthClient(client).Check(a.ctx, &health.HealthCheckRequest{Service: r.service})
}

// explain tells what servers without the service say.
func (r rpc) explain(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return shorten(err.Error())
	}
	switch s.Code() {
	case codes.Unimplemented:
		return "the server has no service grpc.health.v1.Health: " + shorten(s.Message())
	case codes.NotFound:
		return "the health service does not know the service: " + shorten(s.Message())
	}
	return fmt.Sprintf("%s: %s", s.Code(), shorten(s.Message()))
}
