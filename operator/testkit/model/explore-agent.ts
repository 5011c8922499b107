import { decide as real } from '../../resources/agent/decide.ts';
import { agentKey } from './agent-key.ts';
import { type AgentModelOptions, agentModel } from './agent-model.ts';
import { isRest } from './agent-rest.ts';
import { judge, judgeState } from './agent-rules.ts';
import { type Coverage, coverMove, coverPass } from './coverage.ts';
import { type Exploration, explore } from './explore.ts';
import type { Decide } from './state.ts';

/** What a model of an agent is judged by. */
export function judged(
  decide: Decide = real,
  coverage?: Coverage,
): Pick<AgentModelOptions, 'decide' | 'onPass' | 'onState' | 'onMove'> {
  return {
    decide,
    onState: judgeState,
    onPass: (state, observed, decision) => {
      judge(decide, state, observed, decision);
      if (coverage !== undefined) coverPass(coverage, state, observed, decision);
    },
    ...(coverage === undefined ? {} : { onMove: (name, from, to) => coverMove(coverage, name, from, to) }),
  };
}

export type Story = Pick<AgentModelOptions, 'budget' | 'disturbances' | 'start' | 'credulous' | 'toldAtOnce'>;

/** All stories of one agent with at most `budget` disturbances, of all kinds or of those given. */
export function exploreAgent(
  story: Story,
  { decide, coverage }: { readonly decide?: Decide; readonly coverage?: Coverage } = {},
): Exploration {
  const model = agentModel({ ...story, ...judged(decide, coverage) });
  return explore({ ...model, key: agentKey, isRest });
}
