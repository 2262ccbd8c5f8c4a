<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to a transcript for people: read on a screen, printed on paper. README.md says what it shows.

  The sections stand directly below html, without a body (which HTML lets a writer omit): so the results of single
  conversations, put together, are the bytes that all of them at once give. The head is written by the first.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:date="http://exslt.org/dates-and-times"
                xmlns:str="http://exslt.org/strings"
                extension-element-prefixes="date str"
                exclude-result-prefixes="c">

  <xsl:import href="words.xsl"/>
  <xsl:import href="style.xsl"/>
  <xsl:output method="html" encoding="UTF-8" indent="no" doctype-system="about:legacy-compat"/>

  <!-- first, or next when the result is appended to that of an earlier conversation. -->
  <xsl:param name="chancery-part" select="'first'"/>
  <!-- A second column of times: a fixed distance from UTC, +09:00 or -05:30, and what to call it. -->
  <xsl:param name="offset" select="'+00:00'"/>
  <xsl:param name="zone" select="concat('UTC', $offset)"/>
  <!-- The title of the page, and of each printed sheet. -->
  <xsl:param name="title" select="'Chat transcript'"/>

  <xsl:variable name="zoned" select="translate($offset, '+-:0', '') != ''"/>
  <!-- 'PT9H0M', '-PT5H30M' -->
  <xsl:variable name="distance" select="concat(translate(substring($offset, 1, 1), '+', ''), 'PT', number(substring($offset, 2, 2)),
      'H', number(substring($offset, 5, 2)), 'M')"/>
  <xsl:variable name="columns" select="3 + number($zoned)"/>

  <xsl:key name="acts" match="Message" use="concat(generate-id(../..), '|', Sender/@uri)"/>
  <xsl:key name="said" match="Message[@type = 'CHAT']" use="concat(generate-id(../..), '|', @c:messageId)"/>
  <xsl:key name="changed" match="Message[@type = 'EDIT' or @type = 'DELETE']" use="concat(generate-id(../..), '|', @c:messageId)"/>

  <xsl:template match="/">
    <xsl:if test="string-length($offset) != 6 or translate(substring($offset, 1, 1), '+-', '') != '' or substring($offset, 4, 1) != ':'
        or not(number(substring($offset, 2, 2)) &lt;= 14) or not(number(substring($offset, 5, 2)) &lt;= 59)">
      <xsl:message terminate="yes">parameter offset: expected a distance from UTC such as +09:00 or -05:30</xsl:message>
    </xsl:if>
    <html lang="en">
      <xsl:if test="$chancery-part != 'next'">
        <head>
          <meta name="viewport" content="width=device-width, initial-scale=1"/>
          <title><xsl:value-of select="$title"/></title>
          <style><xsl:call-template name="style"/></style>
        </head>
      </xsl:if>
      <xsl:apply-templates select="Conversations/Conversation"/>
    </html>
  </xsl:template>

  <!-- ============================== a room ============================== -->

  <xsl:template match="Conversation">
    <xsl:text>&#10;</xsl:text>
    <section>
      <header>
        <p class="kicker">
          <xsl:value-of select="$title"/>
          <xsl:text> · </xsl:text>
          <xsl:choose>
            <xsl:when test="Channel/@c:kind = 'direct'">direct conversation</xsl:when>
            <xsl:when test="Channel/@c:kind = 'group'">group</xsl:when>
            <xsl:otherwise>room</xsl:otherwise>
          </xsl:choose>
          <xsl:if test="@c:parts &gt; 1"><xsl:value-of select="concat(' · part ', @c:part, ' of ', @c:parts)"/></xsl:if>
        </p>
        <h1 dir="auto"><xsl:apply-templates select="Channel" mode="name"/></h1>
        <p class="address"><bdi><xsl:value-of select="Channel/@uri"/></bdi></p>
        <dl>
          <div><dt>First event, UTC</dt><dd><xsl:apply-templates select="StartTimeUTC/@string" mode="moment"/></dd></div>
          <div><dt>Last event, UTC</dt><dd><xsl:apply-templates select="EndTimeUTC/@string" mode="moment"/></dd></div>
          <div><dt>Events</dt><dd><xsl:value-of select="count(Messages/Message)"/></dd></div>
          <xsl:if test="@c:intervalStart">
            <div><dt>Interval, UTC</dt><dd><xsl:apply-templates select="@c:intervalStart" mode="moment"/> to <xsl:apply-templates select="@c:intervalEnd" mode="moment"/></dd></div>
          </xsl:if>
          <xsl:if test="@c:batch"><div><dt>Batch</dt><dd><xsl:value-of select="concat(@c:batch, ' of ', @c:adapter)"/></dd></div></xsl:if>
          <xsl:if test="string(Channel/@islogged)">
            <div><dt>History in the chat server</dt><dd><xsl:choose><xsl:when test="Channel/@islogged = 'true'">kept</xsl:when><xsl:otherwise>not kept</xsl:otherwise></xsl:choose></dd></div>
          </xsl:if>
          <xsl:if test="string(Channel/@c:topic)"><div class="wide"><dt>Topic</dt><dd dir="auto"><xsl:value-of select="Channel/@c:topic"/></dd></div></xsl:if>
          <xsl:if test="string(Channel/@c:description)"><div class="wide"><dt>Description</dt><dd dir="auto"><xsl:value-of select="Channel/@c:description"/></dd></div></xsl:if>
        </dl>
      </header>
      <xsl:if test="c:Participants">
        <h2>Participants</h2>
        <xsl:choose>
          <xsl:when test="c:Participants/c:Participant">
            <table class="people">
              <thead><tr><th>Name</th><th>Address</th><th>Entered, UTC</th><th>Left, UTC</th><th>Events</th></tr></thead>
              <tbody><xsl:apply-templates select="c:Participants/c:Participant"/></tbody>
            </table>
          </xsl:when>
          <xsl:otherwise><p class="none">Nobody was in the room.</p></xsl:otherwise>
        </xsl:choose>
      </xsl:if>
      <h2>Events</h2>
      <table class="events">
        <thead>
          <tr>
            <th>UTC</th>
            <xsl:if test="$zoned"><th><xsl:value-of select="$zone"/></th></xsl:if>
            <th>Who</th><th>What</th>
          </tr>
        </thead>
        <tbody><xsl:apply-templates select="Messages/Message"/></tbody>
      </table>
    </section>
  </xsl:template>

  <xsl:template match="c:Participant">
    <xsl:variable name="acts" select="key('acts', concat(generate-id(../..), '|', @uri))"/>
    <xsl:text>&#10;</xsl:text>
    <tr>
      <td>
        <bdi class="name"><xsl:apply-templates select="." mode="name"/></bdi>
        <xsl:apply-templates select="$acts[1]/Sender" mode="badges"/>
        <xsl:if test="string($acts[1]/Sender/@c:company)"><span class="note"><bdi><xsl:value-of select="$acts[1]/Sender/@c:company"/></bdi></span></xsl:if>
      </td>
      <td class="address">
        <bdi><xsl:value-of select="@uri"/></bdi>
        <xsl:if test="string(@email) and @email != @uri"><br/><bdi><xsl:value-of select="@email"/></bdi></xsl:if>
      </td>
      <td>
        <xsl:choose>
          <xsl:when test="@joined"><xsl:apply-templates select="@joined" mode="moment"/></xsl:when>
          <xsl:otherwise>before</xsl:otherwise>
        </xsl:choose>
        <xsl:if test="not(@joined) and contains(concat(' ', @inferred, ' '), ' author ')"><span class="note">concluded: acted without entering</span></xsl:if>
      </td>
      <td>
        <xsl:choose>
          <xsl:when test="@left"><xsl:apply-templates select="@left" mode="moment"/></xsl:when>
          <xsl:otherwise>still there</xsl:otherwise>
        </xsl:choose>
        <xsl:if test="@joined and contains(concat(' ', @inferred, ' '), ' author ')"><span class="note">concluded: acted without entering again</span></xsl:if>
        <xsl:if test="contains(concat(' ', @inferred, ' '), ' lease ')"><span class="note">concluded: no sign of life</span></xsl:if>
      </td>
      <td class="number"><xsl:value-of select="count($acts)"/></td>
    </tr>
  </xsl:template>

  <!-- ============================== an event ============================== -->

  <xsl:template match="Message">
    <xsl:variable name="at"><xsl:apply-templates select="DateTimeUTC/@string" mode="zoned"/></xsl:variable>
    <xsl:variable name="before"><xsl:apply-templates select="preceding-sibling::Message[1]/DateTimeUTC/@string" mode="zoned"/></xsl:variable>
    <xsl:if test="substring($at, 1, 10) != substring($before, 1, 10)">
      <xsl:text>&#10;</xsl:text>
      <tr class="day"><th colspan="{$columns}">
        <xsl:value-of select="concat(date:day-name($at), ', ', number(substring($at, 9, 2)), ' ', date:month-name($at), ' ', substring($at, 1, 4))"/>
        <xsl:if test="$zoned"><span><xsl:value-of select="concat(' (', $zone, ')')"/></span></xsl:if>
      </th></tr>
    </xsl:if>
    <xsl:text>&#10;</xsl:text>
    <tr class="{@type}" data-event="{normalize-space(concat(@c:source, ' ', @c:event))}">
      <!-- Only the first of several messages with one id can be linked to. -->
      <xsl:if test="@type = 'CHAT' and string(@c:messageId) and count(. | key('said', concat(generate-id(../..), '|', @c:messageId))[1]) = 1">
        <xsl:attribute name="id"><xsl:apply-templates select="." mode="anchor"/></xsl:attribute>
      </xsl:if>
      <td class="time"><time datetime="{DateTimeUTC/@string}"><xsl:value-of select="substring(DateTimeUTC/@string, 12, 8)"/></time></td>
      <xsl:if test="$zoned"><td class="time zone"><xsl:value-of select="substring($at, 12, 8)"/></td></xsl:if>
      <td class="who">
        <bdi class="name"><xsl:apply-templates select="Sender" mode="name"/></bdi>
        <xsl:apply-templates select="Sender" mode="badges"/>
        <!-- Whom a reader must not take for a colleague. -->
        <xsl:if test="Sender/@internal = 'false' and string(Sender/@c:company)"><span class="note"><bdi><xsl:value-of select="Sender/@c:company"/></bdi></span></xsl:if>
      </td>
      <td class="what">
        <xsl:apply-templates select="." mode="what"/>
        <xsl:apply-templates select="." mode="flags"/>
      </td>
    </tr>
  </xsl:template>

  <xsl:template match="Message[@type = 'CHAT']" mode="what">
    <xsl:variable name="changes" select="key('changed', concat(generate-id(../..), '|', @c:messageId))[string(@c:messageId)]"/>
    <xsl:if test="@c:inReplyTo">
      <p class="reply">
        <xsl:text>in reply to </xsl:text>
        <xsl:call-template name="link"><xsl:with-param name="id" select="@c:inReplyTo"/></xsl:call-template>
      </p>
    </xsl:if>
    <div class="text" dir="auto"><xsl:value-of select="@content"/></div>
    <xsl:if test="@content = ''"><p class="act">posted a message without words</p></xsl:if>
    <xsl:for-each select="$changes">
      <p class="later">
        <xsl:choose><xsl:when test="@type = 'EDIT'">edited</xsl:when><xsl:otherwise>deleted</xsl:otherwise></xsl:choose>
        <xsl:value-of select="concat(' at ', substring(DateTimeUTC/@string, 12, 8), ' UTC, see below')"/>
      </p>
    </xsl:for-each>
  </xsl:template>

  <xsl:template match="Message[@type = 'EDIT']" mode="what">
    <p class="act"><xsl:apply-templates select="." mode="act"/><xsl:call-template name="about"/></p>
    <xsl:choose>
      <xsl:when test="@c:previous"><div class="text" dir="auto"><del><xsl:value-of select="@c:previous"/></del></div></xsl:when>
      <xsl:otherwise><p class="later">what it said before was not sent to the archive with the edit</p></xsl:otherwise>
    </xsl:choose>
    <div class="text" dir="auto"><ins><xsl:value-of select="@content"/></ins></div>
  </xsl:template>

  <xsl:template match="Message[@type = 'DELETE']" mode="what">
    <p class="act"><xsl:apply-templates select="." mode="act"/><xsl:call-template name="about"/></p>
    <xsl:choose>
      <xsl:when test="string(@content)"><div class="text" dir="auto"><del><xsl:value-of select="@content"/></del></div></xsl:when>
      <xsl:otherwise><p class="later">what it said was not sent to the archive with the deletion</p></xsl:otherwise>
    </xsl:choose>
    <xsl:if test="string(@c:replacement)"><p class="later">readers see instead: <bdi><xsl:value-of select="@c:replacement"/></bdi></p></xsl:if>
  </xsl:template>

  <xsl:template match="Message[@type = 'REACT' or @type = 'UNREACT']" mode="what">
    <p class="act"><xsl:apply-templates select="." mode="act"/><xsl:call-template name="about"/></p>
  </xsl:template>

  <xsl:template match="Message[@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD' or @type = 'FILEDELETE']" mode="what">
    <p class="act">
      <xsl:choose>
        <xsl:when test="@type = 'FILEUPLOAD'">uploaded a file</xsl:when>
        <xsl:when test="@type = 'FILEDOWNLOAD'">downloaded a file</xsl:when>
        <xsl:otherwise>deleted a file</xsl:otherwise>
      </xsl:choose>
    </p>
    <div class="file">
      <bdi class="name">
        <xsl:choose>
          <xsl:when test="string(@c:fileName)"><xsl:value-of select="@c:fileName"/></xsl:when>
          <xsl:otherwise><xsl:value-of select="@content"/></xsl:otherwise>
        </xsl:choose>
      </bdi>
      <xsl:if test="@c:size"><span><xsl:value-of select="concat(format-number(@c:size, '#,##0'), ' bytes')"/></span></xsl:if>
      <xsl:if test="@c:mediaType"><span><xsl:value-of select="@c:mediaType"/></span></xsl:if>
      <xsl:choose>
        <xsl:when test="@c:missing"><p class="missing">not in the archive: <xsl:value-of select="@c:missing"/></p></xsl:when>
        <xsl:when test="@type != 'FILEDELETE'"><p>copy: <a href="{str:encode-uri(@content, false())}"><xsl:value-of select="@content"/></a></p></xsl:when>
      </xsl:choose>
      <xsl:if test="@c:sha256"><p class="digest">SHA-256 <xsl:value-of select="@c:sha256"/></p></xsl:if>
      <xsl:if test="@c:claimedSize or @c:claimedSha256">
        <p class="digest">
          <xsl:text>the source claimed </xsl:text>
          <xsl:if test="@c:claimedSize"><xsl:value-of select="concat(@c:claimedSize, ' bytes')"/></xsl:if>
          <xsl:if test="@c:claimedSize and @c:claimedSha256">, </xsl:if>
          <xsl:if test="@c:claimedSha256"><xsl:value-of select="concat('SHA-256 ', @c:claimedSha256)"/></xsl:if>
        </p>
      </xsl:if>
    </div>
  </xsl:template>

  <xsl:template match="Message" mode="what">
    <p class="act" dir="auto"><xsl:apply-templates select="." mode="act"/></p>
  </xsl:template>

  <!-- ": 'the beginning of the message'", where the message is known. -->
  <xsl:template name="about">
    <xsl:if test="string(@c:messageId)">
      <xsl:text>: </xsl:text>
      <xsl:call-template name="link"><xsl:with-param name="id" select="@c:messageId"/></xsl:call-template>
    </xsl:if>
  </xsl:template>

  <xsl:template name="link">
    <xsl:param name="id"/>
    <xsl:variable name="said" select="key('said', concat(generate-id(../..), '|', $id))[1]"/>
    <xsl:choose>
      <xsl:when test="$said">
        <a>
          <xsl:attribute name="href">#<xsl:apply-templates select="$said" mode="anchor"/></xsl:attribute>
          <bdi><xsl:apply-templates select="$said/Sender" mode="name"/></bdi>
          <xsl:text>, </xsl:text>
          <xsl:value-of select="substring($said/DateTimeUTC/@string, 12, 8)"/>
        </a>
      </xsl:when>
      <xsl:otherwise>message <bdi class="id"><xsl:value-of select="$id"/></bdi></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <!-- Rooms and messages can be named in any characters; an id in HTML has no blanks. -->
  <xsl:template match="Message" mode="anchor">
    <xsl:value-of select="str:encode-uri(concat(../../Channel/@uri, '/', @c:messageId), true())"/>
  </xsl:template>

  <!-- ============================== what an auditor must know ============================== -->

  <xsl:template match="Sender" mode="badges">
    <xsl:if test="@internal = 'false'"><span class="badge external">external</span></xsl:if>
    <xsl:if test="@c:bot = 'true'"><span class="badge">bot</span></xsl:if>
    <xsl:if test="string(@c:role)"><span class="badge"><xsl:value-of select="@c:role"/></span></xsl:if>
  </xsl:template>

  <xsl:template match="Message" mode="flags">
    <xsl:if test="@c:late = 'true'"><p class="flag">late: it reached the archive after its interval had closed</p></xsl:if>
    <xsl:if test="@c:conflict = 'true'"><p class="flag">conflict: two events bear this id and differ; both are kept</p></xsl:if>
    <xsl:if test="@c:timeIsReceipt = 'true'"><p class="flag">it bore no time; shown is when the archive received it</p></xsl:if>
    <xsl:if test="@c:mismatch = 'true'"><p class="flag">the file is not what the source claimed</p></xsl:if>
    <xsl:if test="@c:original or @c:originals or Sender/@c:originals">
      <details>
        <summary>some characters cannot be shown and stand as &#xFFFD;; the exact text, base64</summary>
        <code><xsl:value-of select="normalize-space(concat(@c:original, ' ', @c:originals, ' ', Sender/@c:originals))"/></code>
      </details>
    </xsl:if>
    <xsl:if test="@c:raw">
      <details>
        <summary>the event says more than this page shows; as received, base64</summary>
        <code><xsl:value-of select="@c:raw"/></code>
      </details>
    </xsl:if>
  </xsl:template>

  <!-- ============================== times ============================== -->

  <!-- 2026-11-22T19:00:02Z: the time in the zone, whatever its Z says. Fractions would only cost time here. -->
  <xsl:template match="@*" mode="zoned">
    <xsl:choose>
      <xsl:when test="$zoned"><xsl:value-of select="date:add(concat(substring(., 1, 19), 'Z'), $distance)"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="."/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>

  <xsl:template match="@*" mode="moment">
    <time datetime="{.}"><xsl:value-of select="concat(substring(., 1, 10), ' ', substring(., 12, 8))"/></time>
  </xsl:template>
</xsl:stylesheet>
