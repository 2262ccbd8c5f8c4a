<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to Relativity Short Message Format 2.0: a mail for each room and interval, with the transcript as text
  and a zip that holds the manifest and the files. The result is a packaging document (docs/packaging.md).

  An event of the chat is one event of the manifest, but for edits and reactions of a message that stands in the same
  file: those are its edits and reactions, and its custom values name them. README.md says what becomes of what.
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:p="urn:chancery:package:1"
                xmlns:exsl="http://exslt.org/common"
                xmlns:set="http://exslt.org/sets"
                xmlns:str="http://exslt.org/strings"
                extension-element-prefixes="exsl set str"
                exclude-result-prefixes="c">

  <xsl:import href="mail.xsl"/>
  <xsl:output method="xml" encoding="UTF-8" indent="no" media-type="application/vnd.chancery.package+xml"/>

  <!-- Whose data this is: a mail address; without one, whoever began the conversation. -->
  <xsl:param name="custodian"/>
  <!-- What the chat server is called. -->
  <xsl:param name="platform" select="'Chancery'"/>
  <!-- The format advises at most 10,000 events in a file; a longer conversation makes several. -->
  <xsl:param name="events_max" select="'10000'"/>

  <xsl:key name="same" match="Message" use="concat(generate-id(../..), '|', @c:source, ' ', @c:event)"/>
  <xsl:key name="said" match="Message[@type = 'CHAT']" use="concat(generate-id(../..), '|', @c:messageId)"/>
  <xsl:key name="edits" match="Message[@type = 'EDIT']" use="concat(generate-id(../..), '|', @c:messageId)"/>
  <xsl:key name="reactions" match="Message[@type = 'REACT']" use="concat(generate-id(../..), '|', @c:messageId)"/>
  <xsl:key name="deletions" match="Message[@type = 'DELETE']" use="concat(generate-id(../..), '|', @c:messageId)"/>

  <xsl:template match="/">
    <xsl:call-template name="check-mail-parameters"/>
    <xsl:if test="not(number($events_max) &gt;= 1)">
      <xsl:message terminate="yes">parameter events_max: expected a number of events, 1 or more</xsl:message>
    </xsl:if>
    <!-- Events are referred to by their ids, which the dialect lync2013 leaves out. -->
    <xsl:if test="Conversations/Conversation/Messages/Message[1][not(@c:event)]">
      <xsl:message terminate="yes">rsmf needs canonical XML with ids: set the adapter's dialect to full or ocs2007r2</xsl:message>
    </xsl:if>
    <p:package>
      <xsl:for-each select="Conversations/Conversation">
        <!-- One file for each message that begins a slice. -->
        <xsl:for-each select="Messages/Message[(position() - 1) mod $events_max = 0]">
          <xsl:text>&#10;</xsl:text>
          <p:file extension="rsmf">
            <xsl:apply-templates select="../.." mode="slice">
              <xsl:with-param name="number" select="position()"/>
              <xsl:with-param name="count" select="last()"/>
            </xsl:apply-templates>
          </p:file>
        </xsl:for-each>
      </xsl:for-each>
    </p:package>
  </xsl:template>

  <xsl:template match="Conversation" mode="slice">
    <xsl:param name="number"/>
    <xsl:param name="count"/>
    <xsl:variable name="from" select="($number - 1) * $events_max"/>
    <xsl:variable name="events" select="Messages/Message[position() &gt; $from and position() &lt;= $from + $events_max]"/>
    <xsl:variable name="key"><xsl:apply-templates select="." mode="key"/></xsl:variable>
    <xsl:variable name="records">
      <xsl:for-each select="$events">
        <record><xsl:apply-templates select="." mode="event"><xsl:with-param name="events" select="$events"/><xsl:with-param name="whole" select="$count = 1"/></xsl:apply-templates></record>
      </xsl:for-each>
    </xsl:variable>
    <xsl:variable name="written" select="exsl:node-set($records)/record[string(.)]"/>
    <p:mail domain="{$domain}">
      <p:addresses name="From">
        <xsl:choose>
          <xsl:when test="string($custodian)"><p:address mail="{$custodian}"/></xsl:when>
          <xsl:otherwise><xsl:apply-templates select="." mode="initiator"/></xsl:otherwise>
        </xsl:choose>
      </p:addresses>
      <p:addresses name="To"><xsl:apply-templates select="." mode="everybody"/></p:addresses>
      <p:header name="Subject">
        <xsl:apply-templates select="Channel" mode="name"/>
        <xsl:if test="$count &gt; 1"><xsl:value-of select="concat(' (', $number, ' of ', $count, ')')"/></xsl:if>
        <xsl:if test="@c:parts &gt; 1"><xsl:value-of select="concat(' (part ', @c:part, ' of ', @c:parts, ')')"/></xsl:if>
      </p:header>
      <p:date name="Date" at="{$events[last()]/DateTimeUTC/@string}"/>
      <p:ids name="Message-ID"><p:id key="{$key}|{$number}"/></p:ids>
      <xsl:apply-templates select="." mode="thread"/>
      <p:header name="X-RSMF-Version">2.0.0</p:header>
      <p:header name="X-RSMF-Generator">Chancery</p:header>
      <p:header name="X-RSMF-BeginDate"><xsl:value-of select="$events[1]/DateTimeUTC/@string"/></p:header>
      <p:header name="X-RSMF-EndDate"><xsl:value-of select="$events[last()]/DateTimeUTC/@string"/></p:header>
      <p:header name="X-RSMF-EventCount"><xsl:value-of select="count($written)"/></p:header>
      <p:multipart subtype="mixed">
        <p:text>
          <xsl:choose>
            <xsl:when test="$count = 1"><xsl:apply-templates select="." mode="text"/></xsl:when>
            <xsl:otherwise>
              <xsl:for-each select="$events">
                <xsl:value-of select="concat('#', $from + position(), ' ', substring(DateTimeUTC/@string, 1, 10), ' ', substring(DateTimeUTC/@string, 12, 8), ' ')"/>
                <xsl:call-template name="set-in"><xsl:with-param name="text"><xsl:apply-templates select="." mode="told"/></xsl:with-param></xsl:call-template>
                <xsl:text>&#10;</xsl:text>
              </xsl:for-each>
            </xsl:otherwise>
          </xsl:choose>
        </p:text>
        <p:zip name="rsmf.zip" at="{$events[last()]/DateTimeUTC/@string}">
          <p:entry name="rsmf_manifest.json">
            <xsl:text>{"version":"2.0.0","participants":[</xsl:text>
            <xsl:apply-templates select="." mode="participants"/>
            <xsl:text>],&#10;"conversations":[</xsl:text>
            <xsl:apply-templates select="." mode="conversation"/>
            <xsl:text>],&#10;"events":[</xsl:text>
            <xsl:for-each select="$written">
              <xsl:if test="position() != 1">,</xsl:if>
              <xsl:text>&#10;</xsl:text>
              <xsl:value-of select="."/>
            </xsl:for-each>
            <xsl:text>]}&#10;</xsl:text>
          </p:entry>
          <!-- Each copy once in a file, even when it is named in several. -->
          <xsl:for-each select="set:distinct($events[(@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD') and @c:sha256 and not(@c:missing)]/@content)">
            <xsl:if test="$attachments = 'embed' and ($attachment_max = 0 or ../@c:size &lt;= $attachment_max)">
              <p:entry name="{.}" source="{.}"/>
            </xsl:if>
          </xsl:for-each>
        </p:zip>
      </p:multipart>
    </p:mail>
  </xsl:template>

  <!-- ============================== who and where ============================== -->

  <xsl:key name="stays" match="c:Participant" use="concat(generate-id(../..), '|', @uri)"/>

  <!-- Each person once: those on the list, then those who acted without being on it. -->
  <xsl:template match="Conversation" mode="participants">
    <xsl:variable name="conversation" select="generate-id()"/>
    <xsl:variable name="people">
      <xsl:for-each select="c:Participants/c:Participant">
        <xsl:if test="count(. | key('stays', concat($conversation, '|', @uri))[1]) = 1">
          <person>
            <xsl:call-template name="person">
              <xsl:with-param name="sender" select="key('acts', concat($conversation, '|', @uri))[1]/Sender"/>
            </xsl:call-template>
          </person>
        </xsl:if>
      </xsl:for-each>
      <xsl:for-each select="set:distinct(Messages/Message/Sender/@uri)">
        <xsl:if test="not(key('stays', concat($conversation, '|', .)))">
          <xsl:for-each select="..">
            <person><xsl:call-template name="person"><xsl:with-param name="sender" select="."/></xsl:call-template></person>
          </xsl:for-each>
        </xsl:if>
      </xsl:for-each>
    </xsl:variable>
    <xsl:for-each select="exsl:node-set($people)/person">
      <xsl:if test="position() != 1">,</xsl:if>
      <xsl:text>&#10;</xsl:text>
      <xsl:value-of select="."/>
    </xsl:for-each>
  </xsl:template>

  <xsl:template name="person">
    <xsl:param name="sender"/>
    <xsl:text>{"id":</xsl:text>
    <xsl:call-template name="json"><xsl:with-param name="text" select="@uri"/></xsl:call-template>
    <xsl:text>,"display":</xsl:text>
    <xsl:call-template name="json"><xsl:with-param name="text"><xsl:apply-templates select="." mode="name"/></xsl:with-param></xsl:call-template>
    <xsl:if test="string(@email)">
      <xsl:text>,"email":</xsl:text>
      <xsl:call-template name="json"><xsl:with-param name="text" select="@email"/></xsl:call-template>
    </xsl:if>
    <xsl:variable name="custom">
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'internal'"/><xsl:with-param name="value" select="$sender/@internal"/></xsl:call-template>
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'bot'"/><xsl:with-param name="value" select="$sender/@c:bot"/></xsl:call-template>
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'company'"/><xsl:with-param name="value" select="$sender/@c:company"/></xsl:call-template>
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'joined'"/><xsl:with-param name="value" select="@joined"/></xsl:call-template>
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'left'"/><xsl:with-param name="value" select="@left"/></xsl:call-template>
    </xsl:variable>
    <xsl:call-template name="customs"><xsl:with-param name="list" select="$custom"/></xsl:call-template>
    <xsl:text>}</xsl:text>
  </xsl:template>

  <xsl:template match="Conversation" mode="conversation">
    <xsl:text>&#10;{"id":</xsl:text>
    <xsl:call-template name="json"><xsl:with-param name="text" select="Channel/@uri"/></xsl:call-template>
    <xsl:text>,"platform":</xsl:text>
    <xsl:call-template name="json"><xsl:with-param name="text" select="$platform"/></xsl:call-template>
    <xsl:text>,"type":"</xsl:text>
    <xsl:choose><xsl:when test="Channel/@c:kind = 'direct'">direct</xsl:when><xsl:otherwise>channel</xsl:otherwise></xsl:choose>
    <xsl:text>","display":</xsl:text>
    <xsl:call-template name="json"><xsl:with-param name="text"><xsl:apply-templates select="Channel" mode="name"/></xsl:with-param></xsl:call-template>
    <xsl:text>,"participants":[</xsl:text>
    <xsl:for-each select="set:distinct(c:Participants/c:Participant/@uri | Messages/Message/Sender/@uri)">
      <xsl:if test="position() != 1">,</xsl:if>
      <xsl:call-template name="json"><xsl:with-param name="text" select="."/></xsl:call-template>
    </xsl:for-each>
    <xsl:text>]</xsl:text>
    <xsl:variable name="custom">
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'topic'"/><xsl:with-param name="value" select="Channel/@c:topic"/></xsl:call-template>
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'description'"/><xsl:with-param name="value" select="Channel/@c:description"/></xsl:call-template>
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'kind'"/><xsl:with-param name="value" select="Channel/@c:kind"/></xsl:call-template>
      <xsl:call-template name="custom"><xsl:with-param name="name" select="'batch'"/><xsl:with-param name="value" select="@c:batch"/></xsl:call-template>
    </xsl:variable>
    <xsl:call-template name="customs"><xsl:with-param name="list" select="$custom"/></xsl:call-template>
    <xsl:text>}</xsl:text>
  </xsl:template>

  <!-- ============================== events ============================== -->

  <!-- One JSON object; nothing for an edit or reaction that its message tells. -->
  <xsl:template match="Message" mode="event">
    <xsl:param name="events"/>
    <!-- Whether all of the conversation is in this file; otherwise a message might tell what lies in another. -->
    <xsl:param name="whole"/>
    <xsl:variable name="key" select="concat(generate-id(../..), '|', @c:messageId)"/>
    <xsl:variable name="message" select="key('said', $key)[1][$whole and string(current()/@c:messageId)]"/>
    <xsl:variable name="tells" select="@type = 'CHAT' and $message and count(. | $message) = 1"/>
    <xsl:variable name="own-edits" select="key('edits', $key)[$tells]"/>
    <xsl:variable name="own-reactions" select="key('reactions', $key)[$tells]"/>
    <xsl:variable name="deleted" select="$tells and key('deletions', $key)"/>
    <xsl:if test="not((@type = 'EDIT' or @type = 'REACT') and $message)">
      <xsl:text>{"type":"</xsl:text>
      <xsl:choose>
        <xsl:when test="@type = 'CHAT' or @type = 'FILEUPLOAD' or @type = 'EDIT'">message</xsl:when>
        <xsl:when test="@type = 'JOIN'">join</xsl:when>
        <xsl:when test="@type = 'PART'">leave</xsl:when>
        <xsl:when test="@type = 'BACKCHAT'">history</xsl:when>
        <xsl:otherwise>unknown</xsl:otherwise>
      </xsl:choose>
      <xsl:text>","id":"</xsl:text>
      <xsl:apply-templates select="." mode="event-id"/>
      <xsl:text>"</xsl:text>
      <xsl:variable name="answered" select="key('said', concat(generate-id(../..), '|', @c:inReplyTo))[1][$whole and current()/@c:inReplyTo] | $message[not($tells)]"/>
      <xsl:if test="$answered">
        <xsl:text>,"parent":"</xsl:text>
        <xsl:apply-templates select="$answered[1]" mode="event-id"/>
        <xsl:text>"</xsl:text>
      </xsl:if>
      <xsl:text>,"body":</xsl:text>
      <xsl:call-template name="json">
        <xsl:with-param name="text">
          <xsl:choose>
            <xsl:when test="@type = 'CHAT'"><xsl:value-of select="@content"/></xsl:when>
            <xsl:when test="@type = 'EDIT'"><xsl:value-of select="@content"/></xsl:when>
            <xsl:otherwise><xsl:apply-templates select="." mode="told"/></xsl:otherwise>
          </xsl:choose>
        </xsl:with-param>
      </xsl:call-template>
      <xsl:text>,"participant":</xsl:text>
      <xsl:call-template name="json"><xsl:with-param name="text" select="Sender/@uri"/></xsl:call-template>
      <xsl:text>,"conversation":</xsl:text>
      <xsl:call-template name="json"><xsl:with-param name="text" select="../../Channel/@uri"/></xsl:call-template>
      <xsl:value-of select="concat(',&quot;timestamp&quot;:&quot;', DateTimeUTC/@string, '&quot;')"/>
      <xsl:if test="$deleted">,"deleted":true</xsl:if>
      <xsl:if test="$own-reactions">
        <xsl:text>,"reactions":[</xsl:text>
        <xsl:for-each select="$own-reactions">
          <xsl:if test="position() != 1">,</xsl:if>
          <xsl:text>{"value":</xsl:text>
          <xsl:call-template name="json"><xsl:with-param name="text" select="@c:reaction"/></xsl:call-template>
          <xsl:text>,"count":1,"participants":[</xsl:text>
          <xsl:call-template name="json"><xsl:with-param name="text" select="Sender/@uri"/></xsl:call-template>
          <xsl:text>]}</xsl:text>
        </xsl:for-each>
        <xsl:text>]</xsl:text>
      </xsl:if>
      <xsl:if test="(@type = 'FILEUPLOAD' or @type = 'FILEDOWNLOAD') and @c:sha256 and not(@c:missing) and $attachments = 'embed'
          and ($attachment_max = 0 or @c:size &lt;= $attachment_max)">
        <xsl:text>,"attachments":[{"id":</xsl:text>
        <xsl:call-template name="json"><xsl:with-param name="text" select="@content"/></xsl:call-template>
        <xsl:text>,"display":</xsl:text>
        <xsl:call-template name="json"><xsl:with-param name="text"><xsl:value-of select="@c:fileName"/><xsl:if test="not(string(@c:fileName))"><xsl:value-of select="@content"/></xsl:if></xsl:with-param></xsl:call-template>
        <xsl:value-of select="concat(',&quot;size&quot;:', @c:size, '}]')"/>
      </xsl:if>
      <!-- An edit whose message is elsewhere stands for itself. -->
      <xsl:variable name="edits" select="$own-edits | self::*[@type = 'EDIT']"/>
      <xsl:if test="$edits">
        <xsl:text>,"edits":[</xsl:text>
        <xsl:for-each select="$edits">
          <xsl:if test="position() != 1">,</xsl:if>
          <xsl:text>{"participant":</xsl:text>
          <xsl:call-template name="json"><xsl:with-param name="text" select="Sender/@uri"/></xsl:call-template>
          <xsl:value-of select="concat(',&quot;timestamp&quot;:&quot;', DateTimeUTC/@string, '&quot;')"/>
          <xsl:if test="@c:previous">
            <xsl:text>,"previous":</xsl:text>
            <xsl:call-template name="json"><xsl:with-param name="text" select="@c:previous"/></xsl:call-template>
          </xsl:if>
          <xsl:text>,"new":</xsl:text>
          <xsl:call-template name="json"><xsl:with-param name="text" select="@content"/></xsl:call-template>
          <xsl:text>}</xsl:text>
        </xsl:for-each>
        <xsl:text>]</xsl:text>
      </xsl:if>
      <xsl:variable name="custom">
        <xsl:apply-templates select="." mode="custom"/>
        <xsl:for-each select="$own-edits">
          <xsl:call-template name="custom"><xsl:with-param name="name" select="'edited by event'"/><xsl:with-param name="value" select="concat(@c:source, ' ', @c:event)"/></xsl:call-template>
        </xsl:for-each>
        <xsl:for-each select="$own-reactions">
          <xsl:call-template name="custom"><xsl:with-param name="name" select="'reaction by event'"/><xsl:with-param name="value" select="concat(@c:source, ' ', @c:event)"/></xsl:call-template>
        </xsl:for-each>
      </xsl:variable>
      <xsl:call-template name="customs"><xsl:with-param name="list" select="$custom"/></xsl:call-template>
      <xsl:text>}</xsl:text>
    </xsl:if>
  </xsl:template>

  <!-- Conflicting events share source and id; they are numbered. -->
  <xsl:template match="Message" mode="event-id">
    <xsl:variable name="same" select="key('same', concat(generate-id(../..), '|', @c:source, ' ', @c:event))"/>
    <xsl:variable name="this" select="."/>
    <xsl:call-template name="escaped"><xsl:with-param name="text" select="concat(@c:source, ' ', @c:event)"/></xsl:call-template>
    <xsl:if test="count($same) &gt; 1">
      <xsl:for-each select="$same">
        <xsl:if test="count(. | $this) = 1"><xsl:value-of select="concat(' #', position())"/></xsl:if>
      </xsl:for-each>
    </xsl:if>
  </xsl:template>

  <!-- What the format has no place for, so that nothing is lost to a reader who asks. -->
  <xsl:template match="Message" mode="custom">
    <xsl:call-template name="custom"><xsl:with-param name="name" select="'event'"/><xsl:with-param name="value" select="normalize-space(concat(@c:source, ' ', @c:event))"/></xsl:call-template>
    <xsl:for-each select="@type | @c:kind | @c:messageId | @c:inReplyTo | @c:thread | @c:replacement | @c:change | @c:from | @c:to | @c:limit | @c:fileName
        | @c:mediaType | @c:sha256 | @c:missing | @c:late | @c:conflict | @c:timeIsReceipt | @c:mismatch | @c:original | @c:originals | @c:raw">
      <xsl:call-template name="custom"><xsl:with-param name="name" select="local-name()"/><xsl:with-param name="value" select="."/></xsl:call-template>
    </xsl:for-each>
  </xsl:template>

  <xsl:template name="custom">
    <xsl:param name="name"/>
    <xsl:param name="value"/>
    <xsl:if test="string($value)">
      <custom>
        <xsl:value-of select="concat('{&quot;name&quot;:&quot;', $name, '&quot;,&quot;value&quot;:')"/>
        <xsl:call-template name="json"><xsl:with-param name="text" select="$value"/></xsl:call-template>
        <xsl:text>}</xsl:text>
      </custom>
    </xsl:if>
  </xsl:template>

  <xsl:template name="customs">
    <xsl:param name="list"/>
    <xsl:if test="string($list)">
      <xsl:text>,"custom":[</xsl:text>
      <xsl:for-each select="exsl:node-set($list)/custom">
        <xsl:if test="position() != 1">,</xsl:if>
        <xsl:value-of select="."/>
      </xsl:for-each>
      <xsl:text>]</xsl:text>
    </xsl:if>
  </xsl:template>

  <!-- ============================== JSON ============================== -->

  <!-- What JSON forbids inside a string, as far as XML can hold it. -->
  <xsl:variable name="escapes">
    <from>\</from><to>\\</to>
    <from>"</from><to>\"</to>
    <from><xsl:text>&#9;</xsl:text></from><to>\t</to>
    <from><xsl:text>&#10;</xsl:text></from><to>\n</to>
    <from><xsl:text>&#13;</xsl:text></from><to>\r</to>
  </xsl:variable>
  <xsl:variable name="escape-from" select="exsl:node-set($escapes)/from"/>
  <xsl:variable name="escape-to" select="exsl:node-set($escapes)/to"/>

  <xsl:template name="json">
    <xsl:param name="text"/>
    <xsl:text>"</xsl:text>
    <xsl:call-template name="escaped"><xsl:with-param name="text" select="$text"/></xsl:call-template>
    <xsl:text>"</xsl:text>
  </xsl:template>

  <xsl:template name="escaped">
    <xsl:param name="text"/>
    <xsl:variable name="words" select="string($text)"/>
    <xsl:choose>
      <!-- Most texts need no escape, and looking is cheaper than replacing. -->
      <xsl:when test="translate($words, '\&quot;&#9;&#10;&#13;', '') = $words"><xsl:value-of select="$words"/></xsl:when>
      <xsl:otherwise><xsl:value-of select="str:replace($words, $escape-from, $escape-to)"/></xsl:otherwise>
    </xsl:choose>
  </xsl:template>
</xsl:stylesheet>
