// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"errors"
	"time"
)

// reporter makes reports about one node.
type reporter struct {
	sampler
	options Options
	before  *sample
}

func open(o Options) (*reporter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	c, err := dial(o.socket())
	if err != nil {
		return nil, err
	}
	r := &reporter{sampler: sampler{client: c}, options: o}
	if o.Metrics != "" {
		r.metrics = metricsURL(o.Metrics)
	}
	return r, nil
}

// report tells what happened since the report before.
func (r *reporter) report(ctx context.Context) (*Report, error) {
	now, err := r.take(ctx)
	if err != nil {
		return nil, err
	}
	report := compare(r.before, now, r.options.Namespace)
	report.Address = r.socket
	r.before = now
	return report, nil
}

// Once takes two samples, an interval apart.
func Once(ctx context.Context, o Options) (_ *Report, err error) {
	r, err := open(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if _, err := r.report(ctx); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(o.Interval):
	}
	return r.report(ctx)
}
