// @polymarket/client, unchanged but for its URLs, through its whole trading surface.
import { createSecureClient, forkEnvironmentConfig, OrderSide, OrderType } from "@polymarket/client";
import { createBuilderApiKey, fetchBalanceAllowance, updateBalanceAllowance } from "@polymarket/client/actions";
import { builderApiKey } from "@polymarket/client/node";
import { privateKey as signerOf } from "@polymarket/client/viem";
import { input, Report } from "./report.mjs";

const { url, wsUrl, privateKey, wallet, gasless, market, condition, tokens, slug } = await input();
const report = new Report();
const [yes, no] = tokens;
const environment = forkEnvironmentConfig({
  name: "sandbox",
  rpc: `${url}/rpc`,
  clob: { rest: `${url}/clob`, market: { ws: `${wsUrl}/ws/market` }, user: { ws: `${wsUrl}/ws/user` } },
  relayer: { rest: `${url}/relayer` },
  gamma: { rest: `${url}/gamma` },
  data: { rest: `${url}/data` },
  rtds: { ws: `${wsUrl}/ws/rtds` },
  relayerPollFrequencyMs: 20,
});
const signer = signerOf(privateKey);
const client = await report.step("createSecureClient", () => createSecureClient({ environment, signer, wallet }));
report.replace("createSecureClient", client?.account);
if (client === undefined) {
  report.print();
  process.exit(0);
}
const items = async (paginated) => (await paginated.firstPage()).items;
const later = Math.floor(Date.now() / 1000) + 600;

// The streams, opened before anything happens; each event's name is kept.
const heard = [];
const streams = await report.step("subscribe", () =>
  client.subscribe([{ topic: "market", tokenIds: [yes], customFeatureEnabled: true }, { topic: "user" }]),
);
report.replace("subscribe", null);
const listening = (async () => {
  for await (const event of streams ?? []) heard.push([event.topic, event.type, event.payload?.status ?? null]);
})();
const until = async (topic, type, status) => {
  const end = Date.now() + 20_000;
  while (!heard.some((one) => one[0] === topic && one[1] === type && (!status || one[2] === status))) {
    if (Date.now() > end) throw new Error(`no ${topic} ${type} ${status ?? ""} within 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

await report.step("listMarkets", () => items(client.listMarkets({ pageSize: 5 })));
await report.step("fetchMarket", () => client.fetchMarket({ slug }));
await report.step("listEvents", () => items(client.listEvents({ pageSize: 5 })));
await report.step("fetchOrderBook", () => client.fetchOrderBook({ tokenId: yes }));
await report.step("fetchOrderBooks", () => client.fetchOrderBooks([{ tokenId: yes }, { tokenId: no }]));
await report.step("fetchMidpoint", () => client.fetchMidpoint({ tokenId: yes }));
await report.step("fetchPrice", () => client.fetchPrice({ tokenId: yes, side: OrderSide.BUY }));
await report.step("fetchSpread", () => client.fetchSpread({ tokenId: yes }));
await report.step("fetchPriceHistory", () => client.fetchPriceHistory({ tokenId: yes, interval: "1d" }));
await report.step("estimateMarketPrice", () =>
  client.estimateMarketPrice({ tokenId: yes, side: OrderSide.BUY, amount: 10 }),
);

const resting = await report.step("placeLimitOrder", () =>
  client.placeLimitOrder({ tokenId: yes, price: 0.4, size: 10, side: OrderSide.BUY }),
);
await report.step("heardPlacement", () => until("user", "order"));
await report.step("fetchOrder", () => client.fetchOrder({ orderId: resting.orderId }));
await report.step("listOpenOrders", () => items(client.listOpenOrders()));
await report.step("fetchOrderScoring", () => client.fetchOrderScoring({ orderId: resting.orderId }));
await report.step("fetchOrdersScoring", () => client.fetchOrdersScoring({ orderIds: [resting.orderId] }));
await report.step("cancelOrder", () => client.cancelOrder({ orderId: resting.orderId }));
await report.step("goodTillDate", () =>
  client.placeLimitOrder({ tokenId: yes, price: 0.41, size: 10, side: OrderSide.BUY, expiration: later }),
);
await report.step("postOnly", () =>
  client.placeLimitOrder({ tokenId: yes, price: 0.49, size: 10, side: OrderSide.BUY, postOnly: true }),
);
await report.step("crossingPostOnly", () =>
  client.placeLimitOrder({ tokenId: yes, price: 0.5, size: 10, side: OrderSide.BUY, postOnly: true }),
);
await report.step("cancelMarketOrders", () => client.cancelMarketOrders({ market: condition }));
const drafts = await report.step("createLimitOrder", () =>
  Promise.all([0.31, 0.32].map((price) => client.createLimitOrder({ tokenId: no, price, size: 10, side: OrderSide.BUY }))),
);
const batch = await report.step("postOrders", () => client.postOrders(drafts));
await report.step("cancelOrders", () => client.cancelOrders({ orderIds: [batch[0].orderId] }));
await report.step("cancelAll", () => client.cancelAll());
const bought = await report.step("placeMarketOrder", () =>
  client.placeMarketOrder({ tokenId: yes, side: OrderSide.BUY, amount: 10, orderType: OrderType.FOK }),
);
await report.step("waitForOrderFillSettlement", () => client.waitForOrderFillSettlement(bought));
await report.step("heardConfirmed", () => until("user", "trade", "TRADE_STATUS_CONFIRMED"));
await report.step("marketSell", () => client.placeMarketOrder({ tokenId: yes, side: OrderSide.SELL, shares: 5 }));
await report.step("negRiskOrder", () =>
  client.placeLimitOrder({ tokenId: market.negRisk, price: 0.4, size: 10, side: OrderSide.BUY }),
);
await report.step("fetchLastTradePrice", () => client.fetchLastTradePrice({ tokenId: yes }));
await report.step("listAccountTrades", () => items(client.listAccountTrades()));
await report.step("fetchBalanceAllowance", () => fetchBalanceAllowance(client, { assetType: "COLLATERAL" }));
await report.step("updateBalanceAllowance", () =>
  updateBalanceAllowance(client, { assetType: "CONDITIONAL", tokenId: yes }),
);
await report.step("fetchNotifications", () => client.fetchNotifications());
await report.step("dropNotifications", () => client.dropNotifications({ ids: ["1"] }));
await report.step("fetchClosedOnlyMode", () => client.fetchClosedOnlyMode());
await report.step("heardBook", () => until("market", "book"));
await report.step("heardPriceChange", () => until("market", "price_change"));
await report.step("heardLastTrade", () => until("market", "last_trade_price"));
await report.step("heardBestBidAsk", () => until("market", "best_bid_ask"));
if (gasless) {
  // Approvals, splits and merges go through the relayer, paid by a builder's key.
  const builder = await report.step("createBuilderApiKey", () => createBuilderApiKey(client));
  const paid = await report.step("gaslessClient", () =>
    createSecureClient({ environment, signer, wallet, credentials: client.credentials, apiKey: builderApiKey(builder) }),
  );
  report.replace("gaslessClient", paid?.account);
  const settled = async (handle) => (await handle).wait();
  await report.step("setupTradingApprovals", () => paid.setupTradingApprovals());
  await report.step("splitPosition", () => settled(paid.splitPosition({ conditionId: condition, amount: 5_000_000n })));
  await report.step("mergePositions", () => settled(paid.mergePositions({ conditionId: condition, amount: 2_000_000n })));
  await report.step("heardResolution", async () => {
    const body = JSON.stringify({ winning_token_id: yes, redeem: false });
    await fetch(`${url}/_sandbox/markets/${condition}/resolve`, { method: "POST", body });
    await until("market", "market_resolved");
  });
  await report.step("redeemPositions", () => settled(paid.redeemPositions({ conditionId: condition })));
}
await report.step("closeSubscriptions", () => client.closeSubscriptions());
await listening;
await report.step("endAuthentication", () => client.endAuthentication().then(() => null));
report.print();
