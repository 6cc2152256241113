// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/sardine-run/sardine/internal/kernel"
)

// process is a keeper as the test sees it.
type process struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	exited chan struct{}

	mu      sync.Mutex
	serial  int
	waiting map[int]chan answer // closed when the keeper has died
	dead    bool
}

var errDied = errors.New("the keeper died")

// startKeeper starts one in the namespaces of the test.
func startKeeper(c *keeperConfig, log io.Writer) (*process, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	p := &process{exited: make(chan struct{}), waiting: map[int]chan answer{}}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(os.Environ(), keeperVariable+"="+string(text))
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go kernel.OnThread(func() { // which the signal at the parent's death is about
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.hear(output)
			_ = p.cmd.Wait() // killed, mostly
			close(p.exited)
		}
	})
	return p, <-started
}

// hear hands out answers until there are no more.
func (p *process) hear(output io.Reader) {
	for decoder := json.NewDecoder(output); ; {
		var a answer
		err := decoder.Decode(&a)
		p.mu.Lock()
		if err != nil {
			p.dead = true
			for _, c := range p.waiting {
				close(c)
			}
			p.mu.Unlock()
			return
		}
		if c := p.waiting[a.Number]; c != nil {
			c <- a
			delete(p.waiting, a.Number)
		}
		p.mu.Unlock()
	}
}

// call asks and waits. errDied when the keeper has died meanwhile: what was asked may be done, or not, or half.
func (p *process) call(r request) (answer, error) {
	c := make(chan answer, 1)
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return answer{}, errDied
	}
	p.serial++
	r.Number = p.serial
	p.waiting[r.Number] = c
	text, err := json.Marshal(r)
	if err == nil {
		_, err = p.input.Write(append(text, '\n'))
	}
	p.mu.Unlock()
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
		return answer{}, errDied
	}
	if err != nil {
		return answer{}, err
	}
	a, ok := <-c
	switch {
	case !ok:
		return a, errDied
	case a.Error != "":
		return a, fmt.Errorf("%s %v: %s", r.Verb, r.IDs, a.Error)
	}
	return a, nil
}

// kill is SIGKILL, and end the end of its input.
func (p *process) kill() { p.cmd.Process.Kill(); <-p.exited }
func (p *process) end()  { p.input.Close(); <-p.exited }
