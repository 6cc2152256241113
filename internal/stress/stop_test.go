// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// oneProcess answers the status of any container with one process id.
type oneProcess struct {
	cri.RuntimeServiceClient
	pid   int
	asked func(context.Context) // may be nil
}

func (o oneProcess) ContainerStatus(ctx context.Context, _ *cri.ContainerStatusRequest, _ ...grpc.CallOption) (*cri.ContainerStatusResponse, error) {
	if o.asked != nil {
		o.asked(ctx)
	}
	return &cri.ContainerStatusResponse{Info: map[string]string{"info": fmt.Sprintf(`{"pid":%d}`, o.pid)}}, nil
}

// podOf is a pod whose program is a process of this test.
func podOf(pid int) *pod {
	return &pod{
		client: &podClient{runtime: oneProcess{pid: pid}, image: "localhost/deaf:1"},
		config: &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "p"}},
	}
}

func TestStopAwaitsTheHandlerOfSIGTERM(t *testing.T) {
	// The Go runtime of this process has one; sh gets one in a moment.
	late := exec.Command("sh", "-c", "sleep 0.2; trap 'exit 0' TERM; while :; do sleep 0.05; done")
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Process.Kill(); _ = late.Wait() }()
	if err := awaitHandlers(t.Context(), []*pod{podOf(os.Getpid()), podOf(late.Process.Pid)}); err != nil {
		t.Error(err)
	}
}

// A thousand pods do not share the time that one program has.
func TestStopAwaitsEachHandler(t *testing.T) {
	var ends []time.Time
	p := podOf(os.Getpid())
	p.client.runtime = oneProcess{pid: os.Getpid(), asked: func(ctx context.Context) {
		end, _ := ctx.Deadline()
		ends = append(ends, end)
	}}
	if err := awaitHandlers(t.Context(), []*pod{p, p}); err != nil || len(ends) != 2 || !ends[1].After(ends[0]) {
		t.Errorf("%v, limits %v", err, ends)
	}
}

func TestStopRefusesAProgramWithoutHandler(t *testing.T) {
	deaf := exec.Command("sleep", "100")
	if err := deaf.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := podOf(deaf.Process.Pid).awaitHandler(ctx)
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "localhost/deaf:1 does not handle SIGTERM") {
		t.Errorf("got %v", err)
	}
	if err := awaitHandlers(ctx, []*pod{podOf(deaf.Process.Pid)}); err != nil {
		t.Errorf("interrupted: %v", err)
	}
	_ = deaf.Process.Kill()
	_ = deaf.Wait()
	if err := podOf(deaf.Process.Pid).awaitHandler(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a process that has ended: %v", err)
	}
}
