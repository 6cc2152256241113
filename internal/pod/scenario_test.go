// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/testnode"
)

// scenario is what a daemon of its own process does, until it is killed at a point.
type scenario struct {
	Dir, Cgroup, Logs string
	Operation         string
	Point             fault.Name
}

// playScenario is the main function of that process. Coming back from it is a mistake.
func playScenario() int {
	var s scenario
	err := json.Unmarshal([]byte(os.Getenv(scenarioVariable)), &s)
	if err == nil {
		err = s.play()
	}
	fmt.Fprintf(os.Stderr, "%s was not killed at %s: %v\n", s.Operation, s.Point, err)
	return 1
}

func (s *scenario) play() error {
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	d, err := openDaemon(s.Dir)
	if err != nil {
		return err
	}
	if s.Operation == "stopping" {
		return s.stopSome(ctx, d)
	}
	if s.Operation == "run" {
		s.arm()
	}
	pod, err := d.RunSandbox(ctx, fullPod("crash", s.Cgroup, s.Logs), "")
	if err != nil {
		return err
	}
	if s.Operation == "create" {
		s.arm()
	}
	script := forever
	if s.Operation == "exit" {
		script = "trap 'exit 3' TERM; echo bye; while :; do sleep 0.01; done"
	}
	c, err := pod.CreateContainer(ctx, containerConfig("c", script))
	if err != nil {
		return err
	}
	if s.Operation == "start" {
		s.arm()
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	return s.end(ctx, pod, c)
}

// stoppedAtOnce is how many containers stopSome stops.
const stoppedAtOnce = 10

// stopSome stops containers at the same time, and is killed meanwhile.
func (s *scenario) stopSome(ctx context.Context, d *daemon) error {
	pod, err := d.RunSandbox(ctx, hostPod("crash", s.Cgroup, s.Logs), "")
	if err != nil {
		return err
	}
	for i := range stoppedAtOnce {
		c, err := pod.CreateContainer(ctx, containerConfig(fmt.Sprintf("c%d", i), "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"))
		if err == nil {
			err = c.Start(ctx)
		}
		if err == nil {
			err = trapped(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	for _, c := range pod.Containers() {
		go func() { _ = c.Stop(ctx, testnode.Patience) }()
	}
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// trapped waits until c's program, as the first process of its pid namespace, would not miss a signal.
func trapped(ctx context.Context, c *Container) error {
	for ctx.Err() == nil {
		if text, err := os.ReadFile(c.logPath()); err != nil || len(text) > 0 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

func (s *scenario) end(ctx context.Context, pod *Sandbox, c *Container) error {
	switch s.Operation {
	case "exit":
		if err := trapped(ctx, c); err != nil {
			return err
		}
		s.arm()
		if err := syscall.Kill(c.Status().Pid, syscall.SIGTERM); err != nil {
			return err
		}
		time.Sleep(testnode.Patience)
		return nil
	case "remove":
		s.arm()
		return c.Remove(ctx)
	case "stop":
		s.arm()
		return pod.Stop(ctx)
	case "forget":
		s.arm()
		return pod.Remove(ctx)
	}
	return nil
}

func (s *scenario) arm() { os.Setenv("SARDINE_FAULTS", string(s.Point)+"="+fault.Kill) }

// playUntilKilled has another daemon do something until it is killed.
func (n *node) playUntilKilled(operation string, at fault.Name) {
	n.t.Helper()
	text, err := json.Marshal(scenario{Dir: n.dir, Cgroup: n.cgroup, Logs: n.logs, Operation: operation, Point: at})
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(os.Environ(), scenarioVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		n.t.Fatalf("the daemon was not killed: %v\n%s", err, out)
	}
}
