// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"

	registration "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
)

// An API server takes new expressions in the language of the version before its own, so that it can be rolled back.
const (
	mutatingSince   = "1.34" // with it policies are v1beta1
	validatingSince = "1.33"
)

// TestVersions: the oldest API servers that the documentation names know what the policies are written in.
func TestVersions(t *testing.T) {
	for _, object := range policies(t) {
		switch policy := object.(type) {
		case *mutating.Policy:
			c := compilerOf(t, mutatingSince)
			c.conditions(policy.Spec.MatchConditions)
			c.variables(policy.Spec.Variables)
			for _, m := range policy.Spec.Mutations {
				c.expression(&patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}, plugincel.OptionalVariableDeclarations{HasPatchTypes: true})
			}
		case *validating.Policy:
			c := compilerOf(t, validatingSince)
			c.conditions(policy.Spec.MatchConditions)
			c.variables(policy.Spec.Variables)
			for _, v := range policy.Spec.Validations {
				c.expression(&validating.ValidationCondition{Expression: v.Expression}, plugincel.OptionalVariableDeclarations{})
				c.expression(&validating.MessageExpressionCondition{MessageExpression: v.MessageExpression}, plugincel.OptionalVariableDeclarations{})
			}
		}
	}
	if c := compilerOf(t, "1.31"); c.CompileCELExpression(&validating.ValidationCondition{
		Expression: "{'a': 1}.transformMap(k, v, v) == {}",
	}, plugincel.OptionalVariableDeclarations{}, environment.NewExpressions).Error == nil {
		t.Error("an old version knows what came later: nothing is compared")
	}
}

type compiler struct {
	*plugincel.CompositedCompiler
	t *testing.T
}

// compilerOf is the one of an API server of that version.
func compilerOf(t *testing.T, server string) compiler {
	t.Helper()
	c, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(version.MustParse(server).SubtractMinor(1)))
	if err != nil {
		t.Fatal(err)
	}
	return compiler{c, t}
}

func (c compiler) conditions(conditions []registration.MatchCondition) {
	c.t.Helper()
	for _, condition := range conditions {
		c.expression((*matchconditions.MatchCondition)(&condition), plugincel.OptionalVariableDeclarations{})
	}
}

func (c compiler) variables(variables []registration.Variable) {
	c.t.Helper()
	for _, v := range variables {
		if result := c.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression},
			plugincel.OptionalVariableDeclarations{}, environment.NewExpressions); result.Error != nil {
			c.t.Errorf("variable %s: %v", v.Name, result.Error)
		}
	}
}

func (c compiler) expression(accessor plugincel.ExpressionAccessor, options plugincel.OptionalVariableDeclarations) {
	c.t.Helper()
	if result := c.CompileCELExpression(accessor, options, environment.NewExpressions); result.Error != nil {
		c.t.Errorf("%s\n%v", accessor.GetExpression(), result.Error)
	}
}
