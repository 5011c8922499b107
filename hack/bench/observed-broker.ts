import type { Broker, OutgoingMessage } from '../../operator/events/broker.ts';

/** The broker, telling of every message the moment its ack is there. */
export function observedBroker(broker: Broker, onAcked: (message: OutgoingMessage) => void): Broker {
  return {
    get state() {
      return broker.state;
    },
    onState: (listener) => broker.onState(listener),
    connect: () => broker.connect(),
    publish: async (message) => {
      const receipt = await broker.publish(message);
      onAcked(message);
      return receipt;
    },
    messageAt: (streamSeq) => broker.messageAt(streamSeq),
    read: (options) => broker.read(options),
    close: () => broker.close(),
  };
}
