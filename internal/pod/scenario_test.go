// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/sardine-run/sardine/internal/fault"
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := openDaemon(s.Dir)
	if err != nil {
		return err
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
		script = "exit 3"
	}
	c, err := pod.CreateContainer(ctx, containerConfig("c", script))
	if err != nil {
		return err
	}
	if s.Operation == "start" || s.Operation == "exit" {
		s.arm()
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	return s.end(ctx, pod, c)
}

func (s *scenario) end(ctx context.Context, pod *Sandbox, c *Container) error {
	switch s.Operation {
	case "exit":
		time.Sleep(patience)
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
