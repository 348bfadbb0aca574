// @polymarket/clob-client-v2, unchanged but for its host, through its whole trading surface.
import { Chain, ClobClient, OrderType, Side } from "@polymarket/clob-client-v2";
import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { polygon } from "viem/chains";
import { input, Report } from "./report.mjs";

const { url, privateKey, wallet, signatureType, market, condition, tokens } = await input();
const report = new Report();
const [yes, no] = tokens;
const account = privateKeyToAccount(privateKey);
const signer = createWalletClient({ account, chain: polygon, transport: http(`${url}/rpc`) });
const options = { host: `${url}/clob`, chain: Chain.POLYGON, signer, throwOnError: true };
const creds = await report.step("createOrDeriveApiKey", () => new ClobClient(options).createOrDeriveApiKey());
const client = new ClobClient({ ...options, creds, signatureType, funderAddress: wallet });
// Bought shares can be sold once their trade is mined.
const confirmed = async (list) => {
  const end = Date.now() + 20_000;
  while (!(await list()).every((trade) => trade.status === "TRADE_STATUS_CONFIRMED")) {
    if (Date.now() > end) throw new Error("a trade was not confirmed within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
const book = (token) => ({ token_id: token, side: Side.BUY });

await report.step("getOk", () => client.getOk());
await report.step("getVersion", () => client.getVersion());
await report.step("getServerTime", () => client.getServerTime());
await report.step("getSamplingSimplifiedMarkets", () => client.getSamplingSimplifiedMarkets());
await report.step("getSamplingMarkets", () => client.getSamplingMarkets());
await report.step("getSimplifiedMarkets", () => client.getSimplifiedMarkets());
await report.step("getMarkets", () => client.getMarkets());
await report.step("getMarket", () => client.getMarket(condition));
await report.step("getClobMarketInfo", () => client.getClobMarketInfo(condition));
const seen = await report.step("getOrderBook", () => client.getOrderBook(yes));
await report.step("getOrderBooks", () => client.getOrderBooks([book(yes), book(no)]));
await report.step("getOrderBookHash", () => client.getOrderBookHash({ ...seen }));
await report.step("getTickSize", () => client.getTickSize(yes));
await report.step("getNegRisk", () => client.getNegRisk(yes));
await report.step("getFeeRateBps", () => client.getFeeRateBps(yes));
await report.step("getFeeExponent", () => client.getFeeExponent(yes));
await report.step("getMidpoint", () => client.getMidpoint(yes));
await report.step("getMidpoints", () => client.getMidpoints([book(yes), book(no)]));
await report.step("getPrice", () => client.getPrice(yes, Side.BUY));
await report.step("getPrices", () => client.getPrices([book(yes)]));
await report.step("getSpread", () => client.getSpread(yes));
await report.step("getSpreads", () => client.getSpreads([book(yes)]));
await report.step("getPricesHistory", () => client.getPricesHistory({ market: yes, interval: "1d", fidelity: 60 }));
await report.step("calculateMarketPrice", () => client.calculateMarketPrice(yes, Side.BUY, 10));

const resting = await report.step("createAndPostOrder", () =>
  client.createAndPostOrder({ tokenID: yes, price: 0.4, side: Side.BUY, size: 10 }, undefined, OrderType.GTC),
);
await report.step("getOrder", () => client.getOrder(resting.orderID));
await report.step("getOpenOrders", () => client.getOpenOrders({ market: condition }));
await report.step("isOrderScoring", () => client.isOrderScoring({ order_id: resting.orderID }));
await report.step("areOrdersScoring", () => client.areOrdersScoring({ orderIds: [resting.orderID] }));
await report.step("cancelOrder", () => client.cancelOrder({ orderID: resting.orderID }));
const later = Math.floor(Date.now() / 1000) + 600;
await report.step("goodTillDate", () =>
  client.createAndPostOrder(
    { tokenID: yes, price: 0.41, side: Side.BUY, size: 10, expiration: later },
    undefined,
    OrderType.GTD,
  ),
);
await report.step("postOnly", () =>
  client.createAndPostOrder({ tokenID: yes, price: 0.42, side: Side.BUY, size: 10 }, undefined, OrderType.GTC, true),
);
await report.step("cancelMarketOrders", () => client.cancelMarketOrders({ market: condition, asset_id: yes }));
const drafts = await report.step("createOrder", () =>
  Promise.all([0.31, 0.32].map((price) => client.createOrder({ tokenID: no, price, side: Side.BUY, size: 10 }))),
);
const batch = await report.step("postOrders", () =>
  client.postOrders(drafts.map((order) => ({ order, orderType: OrderType.GTC }))),
);
await report.step("cancelOrders", () => client.cancelOrders([batch[0].orderID]));
await report.step("cancelAll", () => client.cancelAll());
await report.step("marketBuy", () =>
  client.createAndPostMarketOrder({ tokenID: yes, amount: 10, side: Side.BUY }, undefined, OrderType.FOK),
);
await report.step("marketSell", async () => {
  await confirmed(() => client.getTrades({ market: condition }));
  return client.createAndPostMarketOrder({ tokenID: yes, amount: 5, side: Side.SELL }, undefined, OrderType.FAK);
});
await report.step("negRiskOrder", () =>
  client.createAndPostOrder({ tokenID: market.negRisk, price: 0.4, side: Side.BUY, size: 10 }),
);
await report.step("v2PositionOrder", async () =>
  client.postOrder(
    await client.createExchangeV3OrderFromAmounts({
      tokenID: market.v2,
      makerAmount: "4000000",
      takerAmount: "10000000",
      side: Side.BUY,
    }),
  ),
);
await report.step("crossingPostOnly", () =>
  client.createAndPostOrder({ tokenID: yes, price: 0.5, side: Side.BUY, size: 10 }, undefined, OrderType.GTC, true),
);
await report.step("getLastTradePrice", () => client.getLastTradePrice(yes));
await report.step("getLastTradesPrices", () => client.getLastTradesPrices([book(yes)]));
await report.step("getTrades", () => client.getTrades({ market: condition }));
await report.step("getTradesPaginated", () => client.getTradesPaginated({ market: condition }));
await report.step("getBalanceAllowance", () => client.getBalanceAllowance({ asset_type: "COLLATERAL" }));
await report.step("updateBalanceAllowance", () =>
  client.updateBalanceAllowance({ asset_type: "CONDITIONAL", token_id: yes }),
);
await report.step("shares", () => client.getBalanceAllowance({ asset_type: "CONDITIONAL", token_id: yes }));
await report.step("getNotifications", () => client.getNotifications());
await report.step("dropNotifications", () => client.dropNotifications({ ids: ["1"] }));
const beat = await report.step("postHeartbeat", () => client.postHeartbeat());
await report.step("nextHeartbeat", () => client.postHeartbeat(beat.heartbeat_id));
await report.step("getApiKeys", () => client.getApiKeys());
await report.step("getClosedOnlyMode", () => client.getClosedOnlyMode());
await report.step("readonlyApiKey", async () => {
  const made = await client.createReadonlyApiKey();
  const listed = await client.getReadonlyApiKeys();
  return { listed: listed.length, deleted: await client.deleteReadonlyApiKey(made.apiKey) };
});
await report.step("builderApiKey", async () => {
  const made = await client.createBuilderApiKey();
  return { made: Object.keys(made).sort(), listed: (await client.getBuilderApiKeys()).length };
});
await report.step("getCurrentRewards", () => client.getCurrentRewards());
await report.step("getRawRewardsForMarket", () => client.getRawRewardsForMarket(condition));
await report.step("getEarningsForUserForDay", () => client.getEarningsForUserForDay("2026-11-20"));
await report.step("getTotalEarningsForUserForDay", () => client.getTotalEarningsForUserForDay("2026-11-20"));
await report.step("getUserEarningsAndMarketsConfig", () => client.getUserEarningsAndMarketsConfig("2026-11-20"));
await report.step("getRewardPercentages", () => client.getRewardPercentages());
await report.step("getMarketTradesEvents", () => client.getMarketTradesEvents(condition));
await report.step("getPreMigrationOrders", () => client.getPreMigrationOrders());
await report.step("deleteApiKey", () => client.deleteApiKey());
await report.step("afterwards", () => client.getOpenOrders());
report.print();
