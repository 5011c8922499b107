import type { Clock } from '../../kernel/clock.ts';
import type { Repairer } from '../../store/repositories/event-repair.ts';
import type { Db } from '../../store/tables/index.ts';
import type { Broker } from '../broker.ts';
import { EventErrorCode, eventError } from '../errors.ts';
import type { NatsBroker } from '../nats-broker.ts';

/** What the commands work through. */
export type EventsPorts = {
  readonly db: Db;
  /** Not connected yet: most commands need none. */
  readonly broker: NatsBroker;
  readonly clock: Clock;
  /** One line of the answer. */
  readonly print: (line: string) => void;
  /** One line beside the answer: how far a long command is. */
  readonly progress: (line: string) => void;
  readonly by: Repairer;
};

const connectDeadlineMs = 5_000;

/**
 * The broker, once it is there.
 * @throws OperatorError the reason why it is not, after five seconds
 */
export async function connected({ broker, clock }: EventsPorts): Promise<Broker> {
  if (broker.state.available) return broker;
  return new Promise((resolve, reject) => {
    const settle = (answer: () => void): void => {
      unsubscribe();
      cancel();
      answer();
    };
    const cancel = clock.setTimer(connectDeadlineMs, () => {
      const { state } = broker;
      const away = eventError(EventErrorCode.BrokerUnavailable, 'the broker did not answer in time');
      settle(() => reject(state.available ? away : state.reason));
    });
    const unsubscribe = broker.onState(({ available }) => {
      if (available) settle(() => resolve(broker));
    });
    broker.connect();
  });
}
