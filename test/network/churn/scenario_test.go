// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

const (
	// workers attach and detach at the same time, each at most podsEach pods.
	workers, podsEach = 8, 5
	// checkEvery is of how many pods one is tried to be reached.
	checkEvery = 4
)

// scenario is a run with one seed.
type scenario struct {
	t          *testing.T
	programs   string
	dir        string
	seed       uint64
	operations int
	kills      int
	inside     func(generation int) bool

	mu          sync.Mutex
	log         bytes.Buffer
	keeper      *process
	generation  int
	changed     *sync.Cond      // of keeper, under mu
	pods        map[string]bool // that the kubelet knows
	taken       map[string]string
	done        int
	serial      int
	descriptors int
}

// play runs from an empty node to an empty node.
func (s *scenario) play() {
	s.dir = s.t.TempDir()
	testnode.CheckClean(s.t, testnode.Options{Dirs: []string{s.dir}, Daemon: os.Getpid})
	s.prepare()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		s.t.Fatal(err)
	}
	s.changed, s.pods, s.taken = sync.NewCond(&s.mu), map[string]bool{}, map[string]string{}
	s.start()
	began := time.Now()
	var working sync.WaitGroup
	for i := range workers {
		working.Go(func() { s.work(i) })
	}
	killed, enough := make(chan int), make(chan struct{})
	go func() { killed <- s.killer(enough) }()
	working.Wait()
	close(enough)
	kills := <-killed
	s.t.Logf("%d operations, %d kills, %v", s.done, kills, time.Since(began).Round(time.Millisecond))
	if kills < s.kills/2 {
		s.t.Errorf("only %d kills", kills)
	}
	s.nothingLeft()
	s.keeper.end()
	s.nothingLeft()
	if s.t.Failed() {
		s.t.Logf("the keepers said:\n%s", tail(s.log.String()))
	}
}

// ours tells whether all keepers have the plugins inside. With the reference's, an address that is used again is reached late.
func (s *scenario) ours() bool { return s.inside(0) && s.inside(1) }

func tail(text string) string { return text[max(0, len(text)-4000):] }

func (s *scenario) prepare() {
	for _, dir := range []string{"net.d", "state", "cache", "none"} {
		if err := os.Mkdir(s.dir+"/"+dir, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.dir+"/net.d/10-churn.conflist", fmt.Appendf(nil, conflist, s.ours(), s.dir+"/addresses"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.output("ip", "link", "delete", "brchurn")
		s.output("nft", "flush", "ruleset")
	})
}

// start makes the next keeper the one that is asked. It is told of the pods that the kubelet knows.
func (s *scenario) start() {
	p, err := startKeeper(&keeperConfig{s.dir, s.programs, s.inside(s.generation)}, &s.log)
	if err != nil {
		s.t.Errorf("start a keeper: %v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.pods {
		ids = append(ids, id)
	}
	if _, err := p.call(request{Verb: "keep", IDs: ids}); err != nil {
		s.t.Errorf("a keeper's first call: %v", err)
	}
	s.keeper = p
	s.generation++
	s.changed.Broadcast()
}

// killer kills at random until there is enough, and returns how often.
func (s *scenario) killer(enough chan struct{}) int {
	random := rand.New(rand.NewPCG(s.seed, 1000))
	for kills := 0; ; kills++ {
		next := (kills+1)*s.operations/(s.kills+1) + random.IntN(3)
		for s.progress() < next {
			select {
			case <-enough:
				return kills
			case <-time.After(time.Duration(random.IntN(3000)) * time.Microsecond):
			}
		}
		s.mu.Lock()
		old := s.keeper
		s.mu.Unlock()
		old.kill()
		s.awaitOrphans()
		s.start()
	}
}

// awaitOrphans waits for programs that a killed keeper was executing: what the reference's do, they would do after the next keeper's DEL. They are
// this process's children now.
func (s *scenario) awaitOrphans() {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		s.t.Error(err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // threads end
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				_, _ = unix.Wait4(pid, nil, 0, nil)
			}
		}
	}
}

func (s *scenario) progress() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// ask calls the keeper of the time, after generation. It returns whose answer it is.
func (s *scenario) ask(r request, after int) (answer, int, error) {
	p, generation := s.await(after)
	a, err := p.call(r)
	return a, generation, err
}

// await waits for a keeper after generation. Otherwise workers would make namespaces as fast as they can until there is one.
func (s *scenario) await(after int) (*process, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.generation <= after {
		s.changed.Wait()
	}
	return s.keeper, s.generation
}

// pod is one that a worker has.
type pod struct {
	id        string
	namespace *os.File // nil when it is gone
	port      int32
	addresses []string
}

func (p *pod) path() string {
	if p.namespace == nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), p.namespace.Fd())
}

func (p *pod) close() {
	if p.namespace != nil {
		p.namespace.Close()
		p.namespace = nil
	}
}

// work attaches and detaches in random order until there were enough operations, and detaches the rest.
func (s *scenario) work(worker int) {
	random := rand.New(rand.NewPCG(s.seed, uint64(worker)))
	slots := make([]*pod, podsEach)
	for s.progress() < s.operations && !s.t.Failed() {
		i := random.IntN(podsEach)
		if slots[i] == nil {
			slots[i] = s.attach(random, int32(20000+worker*podsEach+i))
			continue
		}
		s.detach(random, slots[i])
		slots[i] = nil
	}
	for _, p := range slots {
		if p != nil {
			s.detach(random, p)
		}
	}
}

// attach is nil when the keeper died: the kubelet makes another pod then.
func (s *scenario) attach(random *rand.Rand, port int32) *pod {
	s.mu.Lock()
	s.serial++
	p := &pod{id: fmt.Sprintf("pod-%d", s.serial), port: port}
	s.mu.Unlock()
	var err error
	if p.namespace, err = newNamespace(s.unique()); err != nil {
		s.t.Error(err)
		return nil
	}
	a, generation, err := s.ask(request{Verb: "setup", IDs: []string{p.id}, NetNS: p.path(), Port: port}, 0)
	if err != nil {
		p.close()
		if !errors.Is(err, errDied) {
			s.t.Error(err)
			return nil
		}
		s.await(generation)
		return nil
	}
	p.addresses = a.Addresses
	s.attached(p)
	if random.IntN(checkEvery) == 0 && s.ours() {
		s.reach(p)
	}
	return p
}

// attached notes a pod, whose addresses must be nobody else's.
func (s *scenario) attached(p *pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.pods[p.id] = true
	for _, address := range p.addresses {
		if other := s.taken[address]; other != "" {
			s.t.Errorf("%s and %s both have %s", p.id, other, address)
		}
		s.taken[address] = p.id
	}
}

// reach connects to a port of the pod on which nobody listens: it answers for its address. The bridge's own IPv6 address is of no use
// in its first two seconds, and a connection that began then stays without.
func (s *scenario) reach(p *pod) {
	for _, address := range p.addresses {
		var err error
		for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			var c net.Conn
			if c, err = net.DialTimeout("tcp", net.JoinHostPort(address, "1"), 2*time.Second); err == nil {
				c.Close()
			}
			if errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			s.t.Errorf("%s at %s is not reached: %v", p.id, address, err)
		}
	}
}

// detach is repeated until it succeeds, as the kubelet does. At times the namespace is gone before.
func (s *scenario) detach(random *rand.Rand, p *pod) {
	s.mu.Lock()
	for _, address := range p.addresses {
		delete(s.taken, address)
	}
	s.mu.Unlock()
	if random.IntN(3) == 0 {
		p.close()
	}
	defer p.close()
	for try, after := 0, 0; ; try++ {
		_, generation, err := s.ask(request{Verb: "teardown", IDs: []string{p.id}, NetNS: p.path()}, after)
		if err == nil {
			break
		}
		if !errors.Is(err, errDied) || try == s.kills+5 {
			s.t.Errorf("%s: %v", p.id, err)
			break
		}
		after = generation
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	delete(s.pods, p.id)
}

// unique is a number of a descriptor that no earlier pod's was: a program that outlived its keeper may still have the path.
func (s *scenario) unique() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.descriptors++
	return 500 + s.descriptors
}

func newNamespace(number int) (file *os.File, err error) {
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network namespace"); err != nil {
			return
		}
		var low *os.File
		if low, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return
		}
		defer low.Close()
		var fd int
		if fd, err = unix.FcntlInt(low.Fd(), unix.F_DUPFD_CLOEXEC, number); err == nil {
			file = os.NewFile(uintptr(fd), low.Name())
		}
	})
	return file, err
}
